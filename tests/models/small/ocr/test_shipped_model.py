"""The model that ships with the project does what its card says."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import models.small.ocr
from models.base import Decoded
from models.nn.calibration import expected_calibration_error
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import from_onnx
from models.nn.ctc import LabelledSignal
from models.nn.ctc_evaluation import features, outputs, parity, predictions, texts
from models.nn.onnx_inference import padded_inputs
from models.small.ocr import Ocr
from models.small.ocr.data.generation import make_lines
from models.small.ocr.data.lines import make_payloads
from models.small.ocr.images import normalise, read_image
from models.small.ocr.metrics import character_error_rate
from models.small.ocr.training.network import SIGNAL

VERSION = Path(models.small.ocr.__file__).parent / "versions" / "1"
TASK = Ocr()
CARD = json.loads((VERSION / "card.json").read_text())


@cache
def session() -> Any:
    return onnxruntime.InferenceSession(VERSION / "model.onnx", providers=["CPUExecutionProvider"])


def read(lines: Sequence[LabelledSignal]) -> list[Decoded]:
    return predictions(TASK, outputs(session(), TASK, SIGNAL, lines))


@cache
def digit_lines() -> tuple[LabelledSignal, ...]:
    """From PNG files through preprocessing, as in production."""
    payloads = make_payloads(250, 11)
    return tuple(LabelledSignal(normalise(read_image(s.payload)), s.correction["text"]) for s in payloads)


def test_the_card_meets_what_was_promised() -> None:
    figures = CARD["figures"]
    assert CARD["task"] == Ocr.name
    assert CARD["preprocess_version"] == Ocr.preprocess_version
    assert figures["cer_held_out_digit_lines"] <= 0.05
    assert figures["cer_unseen_fonts"] <= 0.10
    assert figures["parity_max_abs_diff"] < 1e-3
    assert CARD["model bytes"] == (VERSION / "model.onnx").stat().st_size < 4_000_000


def test_held_out_digit_lines_are_read_as_the_card_says() -> None:
    rate = character_error_rate(texts(read(digit_lines()), digit_lines()))
    assert rate <= 0.05
    assert rate == pytest.approx(CARD["figures"]["cer_held_out_digit_lines"], abs=0.015)


def test_lines_in_unseen_fonts_are_read_as_the_card_says() -> None:
    lines = make_lines("printed", "test", 200, 99, processes=1)
    rate = character_error_rate(texts(read(lines), lines))
    assert rate <= 0.10
    assert rate == pytest.approx(CARD["figures"]["cer_unseen_fonts"], abs=0.03)


def test_confidence_is_about_as_often_right_as_it_says() -> None:
    said = read(digit_lines())
    confidences = np.array([reading.confidence for reading in said])
    right = np.array([text == truth for text, truth in texts(said, digit_lines())])
    assert expected_calibration_error(confidences, right, bins=5) < 0.12
    assert confidences[right].mean() > confidences[~right].mean()


def test_onnx_runtime_agrees_with_jax() -> None:
    parameters, temperature = from_onnx(onnx.load(VERSION / "model.onnx"))
    shape: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in CARD["network"].items()
    }
    inputs = [features(SIGNAL, line) for line in digit_lines()[:20]]
    batch = padded_inputs(inputs, {"image": (24, 512), "width": ()})
    assert parity(ConvCtc(**shape), parameters, temperature, session(), SIGNAL, batch) < 1e-3


def test_a_line_gives_the_same_alone_and_padded_among_others() -> None:
    names = ["log_probs", "length"]
    lines = digit_lines()[:24]
    images = np.zeros((len(lines), 24, 320), np.uint8)
    for row, line in enumerate(lines):
        images[row, :, : line.signal.shape[1]] = line.signal
    widths = np.array([line.signal.shape[1] for line in lines], np.int32)
    together, lengths = session().run(names, {"image": images, "width": widths})
    for row, line in enumerate(lines):
        alone, length = session().run(names, {"image": line.signal[None], "width": widths[row : row + 1]})
        assert length[0] == lengths[row] == alone.shape[1]
        np.testing.assert_allclose(together[row, : length[0]], alone[0], atol=2e-4)


def test_a_blank_line_reads_as_nothing() -> None:
    blank = LabelledSignal(np.zeros((24, 8), np.uint8), "")
    (reading,) = read([blank])
    assert reading.output == {"text": ""}
    assert reading.confidence > 0.9


def test_shipped_samples_are_mostly_read() -> None:
    lines = [LabelledSignal(TASK.preprocess(s.payload)["image"], s.correction["text"]) for s in TASK.samples()]
    assert character_error_rate(texts(read(lines), lines)) < 0.1
