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
from rapidfuzz.distance import Levenshtein

from models.nn.calibration import best_temperature, expected_calibration_error, log_loss
from models.nn.conv_ctc import ConvCtc, Parameters
from models.ocr.data import Line
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


def batches_of(lines: Sequence[Line]) -> Iterator[tuple[list[int], NDArray[np.uint8], NDArray[np.int32]]]:
    """Lines of equal padded width together: their places, images (batch, 24, width), widths (batch,)."""
    task = Ocr()
    widths = [task.padded({"image": line.image.shape, "width": ()})["image"][1] for line in lines]
    for width in sorted(set(widths)):
        members = [place for place, padded in enumerate(widths) if padded == width]
        for start in range(0, len(members), BATCH):
            places = members[start : start + BATCH]
            images = np.zeros((len(places), lines[0].image.shape[0], width), np.uint8)
            for row, place in enumerate(places):
                images[row, :, : lines[place].image.shape[1]] = lines[place].image
            yield places, images, np.array([lines[place].image.shape[1] for place in places], np.int32)


def run(model: Any, lines: Sequence[Line]) -> list[tuple[list[int], Outputs]]:
    """The model's outputs for all lines, batch by batch, with the lines' places."""
    names = ["log_probs", "length"]
    return [
        (places, dict(zip(names, model.run(names, {"image": images, "width": widths}), strict=True)))
        for places, images, widths in batches_of(lines)
    ]


def readings(outputs: list[tuple[list[int], Outputs]], temperature: float = 1.0) -> list[Reading]:
    """What outputs say of each line, in the lines' order, after dividing the logits by a temperature."""
    task = Ocr()
    found: dict[int, Reading] = {}
    for places, batch in outputs:
        softened = batch if temperature == 1.0 else {**batch, "log_probs": _softened(batch["log_probs"], temperature)}
        for place, decoded in zip(places, task.decode(softened, []), strict=True):
            found[place] = Reading(decoded.output["text"], decoded.confidence)
    return [found[place] for place in sorted(found)]


def _softened(log_probs: NDArray[Any], temperature: float) -> NDArray[Any]:
    scaled = log_probs / np.float32(temperature)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=2, keepdims=True)))


def fitted_temperature(model: Any, lines: Sequence[Line]) -> float:
    """The temperature at which confidence predicts best whether a whole line is right (log loss)."""
    outputs = run(model, lines)

    def loss(temperature: float) -> float:
        said = readings(outputs, temperature)
        return log_loss(_confidences(said), _right(said, lines))

    return best_temperature(loss)


def error_rate(said: Sequence[Reading], lines: Sequence[Line]) -> float:
    """The character error rate of all lines together: edits over true symbols."""
    edits = sum(Levenshtein.distance(reading.text, line.text) for reading, line in zip(said, lines, strict=True))
    return edits / sum(len(line.text) for line in lines)


def figures(model: Any, digits: Sequence[Line], printed: Sequence[Line]) -> dict[str, float | int]:
    """The card's figures on held-out digit lines and on lines in fonts never seen."""
    said_digits, said_printed = readings(run(model, digits)), readings(run(model, printed))
    said, lines = [*said_digits, *said_printed], [*digits, *printed]
    return {
        "cer_held_out_digit_lines": error_rate(said_digits, digits),
        "cer_unseen_fonts": error_rate(said_printed, printed),
        "lines_right_held_out_digits": float(_right(said_digits, digits).mean()),
        "lines_right_unseen_fonts": float(_right(said_printed, printed).mean()),
        "held_out_digit_lines": len(digits),
        "unseen_font_lines": len(printed),
        "ece": expected_calibration_error(_confidences(said), _right(said, lines)),
        "ece_held_out_digit_lines": expected_calibration_error(_confidences(said_digits), _right(said_digits, digits)),
        "ece_unseen_fonts": expected_calibration_error(_confidences(said_printed), _right(said_printed, printed)),
    }


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


def _confidences(said: Sequence[Reading]) -> NDArray[np.float64]:
    return np.array([reading.confidence for reading in said])


def _right(said: Sequence[Reading], lines: Sequence[Line]) -> NDArray[np.bool_]:
    return np.array([reading.text == line.text for reading, line in zip(said, lines, strict=True)])
