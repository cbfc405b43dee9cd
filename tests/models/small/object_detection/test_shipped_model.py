"""The model that ships with the project does what its card says."""

import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import models.small.object_detection
from models.base import EvaluatedSample
from models.nn.onnx_inference import judge, session
from models.object_detection.scoring import all_right
from models.small.object_detection import ObjectDetection
from models.small.object_detection.data.scenes import held_out_scenes
from models.small.object_detection.decoding import MAX_BOXES
from models.small.object_detection.training.evaluation import decoded, parity
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, from_onnx, to_onnx

VERSION = Path(models.small.object_detection.__file__).parent / "versions" / "1"
CARD = json.loads((VERSION / "card.json").read_text())
TASK = ObjectDetection()


@cache
def model() -> Any:
    return session((VERSION / "model.onnx").read_bytes())


@cache
def judged() -> tuple[EvaluatedSample, ...]:
    """A part of the held-out set: its first scenes."""
    return tuple(judge(model(), TASK, list(islice(TASK.held_out(), 100))))


def test_the_card_meets_what_was_promised() -> None:
    figures = CARD["figures"]
    assert CARD["task"] == TASK.name
    assert CARD["preprocess_version"] == TASK.preprocess_version
    assert figures["map50"] >= 0.80
    assert figures["scenes"] == 300
    assert figures["parity_max_abs_diff"] < 1e-3
    assert CARD["model bytes"] == (VERSION / "model.onnx").stat().st_size < 3_000_000


def test_held_out_scenes_are_seen_as_the_card_says() -> None:
    found = TASK.figures(judged())
    assert found["map50"] >= 0.75
    assert found["map50"] == pytest.approx(CARD["figures"]["map50"], abs=0.08)
    assert found["score"] == pytest.approx(CARD["figures"]["score"], abs=0.08)


def test_confidence_is_about_as_often_right_as_it_says() -> None:
    # Fitted on other photographs, it is too sure on these by 0.1, and 100 scenes say it to within another 0.1.
    confidences = np.array([one.decoded.confidence for one in judged()])
    right = np.array([all_right(one.decoded.output["boxes"], one.sample.correction["boxes"]) for one in judged()])
    assert abs(confidences.mean() - right.mean()) < 0.2
    assert confidences[right].mean() > confidences[~right].mean() + 0.1


def test_onnx_runtime_agrees_with_jax() -> None:
    shape: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in CARD["network"].items()
    }
    parameters = from_onnx(onnx.load(VERSION / "model.onnx"))
    squares = np.stack([TASK.preprocess(sample.payload)["image"] for sample in islice(held_out_scenes(5), 4)])
    network = Detector(**shape)
    assert parity(network, parameters, to_onnx(network, parameters, Calibration()), squares) < 1e-3


def test_the_shipped_samples_are_mostly_seen() -> None:
    samples = TASK.samples()
    said = judge(model(), TASK, samples)
    scores = [TASK.score(one.decoded.output, one.sample.correction) for one in said]
    assert np.mean(scores) > 0.6


def test_outputs_are_bounded_inside_their_picture_and_best_first() -> None:
    noise = np.random.default_rng(0).integers(256, size=(128, 128, 3), dtype=np.uint8)
    geometry = np.array([0, 32, 128, 96, 640, 320], np.int32)
    found = decoded(TASK, model(), [({"image": noise, "geometry": geometry}, {})])
    for one in [*found, *(seen.decoded for seen in judged())]:
        scores = [box["score"] for box in one.output["boxes"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= MAX_BOXES
        assert 0 <= one.confidence <= 1
        assert TASK.validate_correction(one.output)
