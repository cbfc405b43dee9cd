"""How a CTC model is checked: what it reads, how certain it should be, and whether ONNX Runtime agrees with JAX."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.base import Decoded, Features, Task
from models.nn.calibration import best_temperature, log_loss
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.convolution import Parameters
from models.nn.ctc import LabelledSignal
from models.nn.onnx_inference import Outputs, run

Batches = list[tuple[list[int], Outputs]]
"""Outputs of a model, batch by batch, with the places of their signals."""


def features(signal: Signal, labelled: LabelledSignal) -> Features:
    """Return a signal as the model takes it, without a batch dimension."""
    return {signal.name: labelled.signal, "width": np.array(labelled.signal.shape[1], np.int32)}


def outputs(model: Any, task: Task, signal: Signal, labelled: Sequence[LabelledSignal]) -> Batches:
    """Run an ONNX Runtime session on signals, batched as when serving."""
    return list(run(model, task, [features(signal, example) for example in labelled]))


def predictions(task: Task, batches: Batches, temperature: float = 1.0) -> list[Decoded]:
    """Decode outputs after dividing the logits by a temperature, in the order of the signals."""
    decoded: dict[int, Decoded] = {}
    for places, batch in batches:
        soft = batch if temperature == 1.0 else {**batch, "log_probs": softened(batch["log_probs"], temperature)}
        decoded.update(zip(places, task.decode(soft, []), strict=True))
    return [decoded[place] for place in sorted(decoded)]


def texts(decoded: Sequence[Decoded], labelled: Sequence[LabelledSignal]) -> list[tuple[str, str]]:
    """Pair each predicted text with the true one."""
    return [(prediction.output["text"], truth.text) for prediction, truth in zip(decoded, labelled, strict=True)]


def fitted_temperature(task: Task, batches: Batches, labelled: Sequence[LabelledSignal]) -> float:
    """Return the temperature at which confidence predicts best whether a whole text is right (log loss)."""

    def loss(temperature: float) -> float:
        decoded = predictions(task, batches, temperature)
        right = [text == truth for text, truth in texts(decoded, labelled)]
        return log_loss(np.array([prediction.confidence for prediction in decoded]), np.array(right))

    return best_temperature(loss)


def softened(log_probs: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return log probabilities (..., classes) after their logits are divided by a temperature."""
    scaled = log_probs / np.float32(temperature)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def parity(
    network: ConvCtc, parameters: Parameters, temperature: float, model: Any, signal: Signal, inputs: Features
) -> float:
    """Return the largest absolute difference between the log probabilities of JAX and ONNX Runtime, of valid frames.

    `inputs` are a batch of the signal and its `width`, as the model takes them.
    """
    served, lengths = model.run(["log_probs", "length"], inputs)
    signals = jnp.asarray(inputs[signal.name], jnp.float32) * signal.scale
    logits = jax.jit(network.logits)(parameters, signals, jnp.asarray(inputs["width"]))
    expected = np.asarray(jax.nn.log_softmax(logits / temperature))
    valid = np.arange(served.shape[1]) < lengths[:, None]
    return float(np.abs(expected - served)[valid].max())
