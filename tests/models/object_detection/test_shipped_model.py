"""The version that ships does what its card says, on the photographs that ship."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import models.object_detection
from app.registry.shipped import require_weights, shipped_versions
from models.base import EvaluatedSample
from models.manifest import VersionFiles
from models.nn.onnx_inference import judge
from models.object_detection import ObjectDetection
from models.object_detection.candidates import MAX_BOXES
from models.object_detection.labels import LABELS
from models.runtimes import Runtime, open_version

CARD = json.loads((Path(models.object_detection.__file__).parent / "versions/1/card.json").read_text())
TASK = ObjectDetection()


@cache
def version() -> Path:
    require_weights(TASK, "1")
    return shipped_versions(TASK)["1"]


@cache
def model() -> Runtime:
    return open_version(version())


@cache
def judged() -> tuple[EvaluatedSample, ...]:
    return tuple(judge(model(), TASK, list(TASK.held_out())))


def test_the_manifest_and_the_card_are_of_this_task() -> None:
    manifest = VersionFiles.of(version()).manifest
    assert manifest.labels == LABELS
    assert manifest.licence == "Apache-2.0"
    assert CARD["task"] == TASK.name
    assert CARD["preprocess_version"] == TASK.preprocess_version


def test_the_photographs_are_seen_as_the_card_says() -> None:
    figures = TASK.figures(judged())
    assert figures == pytest.approx(CARD["figures"], abs=1e-3)
    assert figures["map50"] >= 0.65


def test_confidence_is_higher_where_all_is_right() -> None:
    right = np.array([TASK.score(one.decoded.output, one.sample.correction) == 1 for one in judged()])
    confidences = np.array([one.decoded.confidence for one in judged()])
    assert confidences[right].mean() > confidences[~right].mean() + 0.05


def test_outputs_are_bounded_inside_their_picture_and_best_first() -> None:
    noise = np.random.default_rng(0).integers(256, size=(1, 300, 300, 3), dtype=np.uint8)
    outputs = model().run({"image": noise})
    assert (np.diff(outputs["scores"].max(axis=2)) <= 0).all()
    for one in judged():
        scores = [box["score"] for box in one.decoded.output["boxes"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= MAX_BOXES
        assert TASK.validate_correction(one.decoded.output)


def test_a_picture_is_seen_in_a_batch_as_alone() -> None:
    images = np.stack([TASK.preprocess(sample.payload)["image"] for sample in TASK.samples()])
    together = model().run({"image": images})
    for place, image in enumerate(images):
        alone = model().run({"image": image[None]})
        np.testing.assert_array_equal(alone["anchors"][0], together["anchors"][place])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][place], atol=1e-5)
