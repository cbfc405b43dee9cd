"""What a trained model is worth: error rates on lines it has never seen, calibration, agreement with JAX.

Lines are read exactly as when serving: ONNX Runtime, batches padded as `Ocr.padded` says, `Ocr.decode`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models.nn.calibration import best_temperature, log_loss
from models.nn.conv_ctc import ConvCtc, Parameters
from models.ocr import metrics as measures
from models.ocr.data.generation import Line
from models.ocr.metrics import DIGITS, PRINTED, Read
from models.ocr.task import Ocr

Outputs = dict[str, NDArray[Any]]
BATCH = 32


@dataclass(frozen=True)
class Reading:
    """What the model says of a line: its text, and how sure it is."""

    text: str
    confidence: float


def session(model: onnx.ModelProto) -> Any:
    """The model in ONNX Runtime."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def batches_of(task: Ocr, lines: Sequence[Line]) -> Iterator[tuple[list[int], NDArray[np.uint8], NDArray[np.int32]]]:
    """Lines of equal padded width together: their places, images (batch, 24, width), widths (batch,)."""
    widths = [task.padded({"image": line.image.shape, "width": ()})["image"][1] for line in lines]
    for width in sorted(set(widths)):
        members = [place for place, padded in enumerate(widths) if padded == width]
        for start in range(0, len(members), BATCH):
            places = members[start : start + BATCH]
            images = np.zeros((len(places), lines[0].image.shape[0], width), np.uint8)
            for row, place in enumerate(places):
                images[row, :, : lines[place].image.shape[1]] = lines[place].image
            yield places, images, np.array([lines[place].image.shape[1] for place in places], np.int32)


def run(task: Ocr, model: Any, lines: Sequence[Line]) -> list[tuple[list[int], Outputs]]:
    """The model's outputs for all lines, batch by batch, with the lines' places."""
    names = ["log_probs", "length"]
    return [
        (places, dict(zip(names, model.run(names, {"image": images, "width": widths}), strict=True)))
        for places, images, widths in batches_of(task, lines)
    ]


def readings(task: Ocr, outputs: list[tuple[list[int], Outputs]], temperature: float = 1.0) -> list[Reading]:
    """What outputs say of each line, in the lines' order, after dividing the logits by a temperature."""
    found: dict[int, Reading] = {}
    for places, batch in outputs:
        softened = batch if temperature == 1.0 else {**batch, "log_probs": _softened(batch["log_probs"], temperature)}
        for place, decoded in zip(places, task.decode(softened, []), strict=True):
            found[place] = Reading(decoded.output["text"], decoded.confidence)
    return [found[place] for place in sorted(found)]


def _softened(log_probs: NDArray[Any], temperature: float) -> NDArray[Any]:
    scaled = log_probs / np.float32(temperature)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=2, keepdims=True)))


def fitted_temperature(task: Ocr, model: Any, lines: Sequence[Line]) -> float:
    """The temperature at which confidence predicts best whether a whole line is right (log loss)."""
    outputs = run(task, model, lines)

    def loss(temperature: float) -> float:
        said = readings(task, outputs, temperature)
        return log_loss(np.array([reading.confidence for reading in said]), measures.right(_read(said, lines)))

    return best_temperature(loss)


def error_rate(said: Sequence[Reading], lines: Sequence[Line]) -> float:
    """The character error rate of all lines together: edits over true symbols."""
    return measures.error_rate(_read(said, lines))


def figures(task: Ocr, model: Any, digits: Sequence[Line], printed: Sequence[Line]) -> dict[str, float]:
    """The card's figures on held-out digit lines and on lines in fonts never seen."""
    groups = {DIGITS: digits, PRINTED: printed}
    return measures.figures(
        {group: _read(readings(task, run(task, model, lines)), lines) for group, lines in groups.items()}
    )


def parity(network: ConvCtc, parameters: Parameters, temperature: float, model: Any, lines: Sequence[Line]) -> float:
    """The largest absolute difference between the log probabilities of JAX and of ONNX Runtime, valid frames only."""
    widths = np.array([line.image.shape[1] for line in lines], np.int32)
    images = np.zeros((len(lines), lines[0].image.shape[0], int(widths.max())), np.uint8)
    for row, line in enumerate(lines):
        images[row, :, : line.image.shape[1]] = line.image
    found, lengths = model.run(["log_probs", "length"], {"image": images, "width": widths})
    signals = jnp.asarray(images, jnp.float32) / 255
    expected = jax.nn.log_softmax(jax.jit(network.logits)(parameters, signals, jnp.asarray(widths)) / temperature)
    valid = np.arange(found.shape[1]) < lengths[:, None]
    return float(np.abs(np.asarray(expected) - found)[valid].max())


def _read(said: Sequence[Reading], lines: Sequence[Line]) -> list[Read]:
    return [Read(one.text, one.confidence, line.text) for one, line in zip(said, lines, strict=True)]
