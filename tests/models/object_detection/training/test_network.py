"""The parts of a detector do what the whole does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.adapters.linear_layer import LinearLayer
from models.adapters.replaced_weights import changed
from models.base import Untrainable
from models.manifest import write_version
from models.object_detection.anchors import CLASSES
from models.object_detection.training.network import CutDetector, Level
from models.runtimes import open_version
from tests.support.tiny_detector import write_tiny_version

SQUARES = np.random.default_rng(0).integers(256, size=(3, 300, 300, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_version(tmp_path_factory.mktemp("versions") / "1")


def best_scores(detector: CutDetector, levels: list[Level]) -> NDArray[np.floating[Any]]:
    """The score of each picture's best anchor, and its 100th best, from the features."""
    [features] = detector.features(list(SQUARES))
    logits = [level.classes.scores(one.classes.astype(np.float32)) for level, one in zip(levels, features, strict=True)]
    scores = np.concatenate([one.reshape(len(SQUARES), -1, CLASSES) for one in logits], axis=1).max(axis=2)
    best = np.sort(scores, axis=1)[:, [-1, -100]]
    return np.asarray(1 / (1 + np.exp(-detector.slope * best)))


def test_features_and_last_layers_give_the_scores_of_the_model(version: Path) -> None:
    detector = CutDetector.of(version)
    served = open_version(version).run({"image": SQUARES})["scores"].max(axis=2)[:, [0, -1]]
    np.testing.assert_allclose(best_scores(detector, detector.levels), served, rtol=0.01)


def test_a_version_with_other_layers_answers_by_them(version: Path, tmp_path: Path) -> None:
    detector = CutDetector.of(version)
    rng = np.random.default_rng(1)
    levels = [
        Level(
            *(LinearLayer(one.weights + np.float32(rng.normal(0, 1, one.weights.shape)), one.bias - 1) for one in level)
        )
        for level in detector.levels
    ]
    manifest, files = changed(detector.files, detector.weights(levels))
    child = write_version(tmp_path / "2", manifest, files, version)
    served = open_version(child).run({"image": SQUARES})["scores"].max(axis=2)[:, [0, -1]]
    np.testing.assert_allclose(best_scores(detector, levels), served, rtol=0.02)
    for before, after in zip(levels, CutDetector.of(child).levels, strict=True):
        np.testing.assert_array_equal(before.classes.weights, after.classes.weights)
        np.testing.assert_array_equal(before.edges.bias, after.edges.bias)


def test_another_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Untrainable, match="can't be read as a version of `object_detection`"):
        CutDetector.of(tmp_path / "manifest.json")
