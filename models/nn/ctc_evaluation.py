"""A CTC model against itself: how certain it should be, and whether ONNX Runtime says what JAX says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.base import Features
from models.nn.conv_ctc import ConvCtc, Parameters
from models.nn.conv_ctc_onnx import Signal


def softened(log_probs: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Log probabilities (..., classes) after their logits are divided by a temperature."""
    scaled = log_probs / np.float32(temperature)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def parity(
    network: ConvCtc, parameters: Parameters, temperature: float, model: Any, signal: Signal, inputs: Features
) -> float:
    """The largest absolute difference between the log probabilities of JAX and of ONNX Runtime, valid frames only.

    `inputs` are a batch of the signal and its `width`, as the model takes them.
    """
    found, lengths = model.run(["log_probs", "length"], inputs)
    signals = jnp.asarray(inputs[signal.name], jnp.float32) * signal.scale
    logits = jax.jit(network.logits)(parameters, signals, jnp.asarray(inputs["width"]))
    expected = np.asarray(jax.nn.log_softmax(logits / temperature))
    valid = np.arange(found.shape[1]) < lengths[:, None]
    return float(np.abs(expected - found)[valid].max())
