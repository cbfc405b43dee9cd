"""Corrections of pictures become a version with other last layers, and nothing else that is new."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import tensors
from models.adapters.replaced_weights import WEIGHTS
from models.base import Trained, Untrainable
from models.manifest import MODEL, Manifest, write_version
from models.object_detection import ObjectDetection
from models.object_detection.labels import LABELS
from models.object_detection.training.adaptation import Plan
from models.object_detection.training.feedback import SURE, read
from models.object_detection.training.network import CutDetector
from models.object_detection.training.trainer import DetectorAdapter, Sizes
from models.runtimes import open_version
from tests.support.datasets import write_dataset
from tests.support.tiny_detector import write_tiny_version

TASK = ObjectDetection()
ADAPTER = DetectorAdapter(TASK, Plan(steps=60, pictures=4, rate=0.05, most_divergence=1e3), Sizes(2, 4, 2, held_out=1))
CUP = LABELS.index("cup")


def scene(number: int) -> tuple[NDArray[np.uint8], list[float]]:
    """A red square on blue, and where it is; pixels."""
    rng = np.random.default_rng(number)
    picture = np.full((300, 300, 3), (20, 40, 200), np.uint8)
    left, top = (int(edge) for edge in rng.integers(20, 130, 2))
    picture[top : top + 150, left : left + 150] = (230, 20, 10)
    return picture, [left, top, left + 150, top + 150]


def row(number: int, boxes: list[dict[str, Any]] | None, served: float = 0.9, **more: Any) -> dict[str, Any]:
    picture, box = scene(number)
    data, declaration = tensors.encode({"image": picture, "size": np.array([300, 300], np.int32)})
    output = {"boxes": [{"box": box, "label": "cup", "score": served}]}
    values = {"features": data, "tensors": declaration, "output": json.dumps(output), "propensity": 1.0}
    label = None if boxes is None else json.dumps({"boxes": boxes})
    return {**values, "prediction_id": str(number), "label": label, "split": "train", **more}


def cup(number: int) -> list[dict[str, Any]]:
    return [{"box": scene(number)[1], "label": "cup"}]


def log() -> Iterator[dict[str, Any]]:
    for number in range(12):
        yield row(number, cup(number), split="validation" if number > 9 else "train")
    yield row(20, cup(20), split="test")
    yield row(21, None)
    yield row(22, None, served=SURE - 0.1)
    yield row(23, [*cup(23), {"box": [0, 0, 9, 9], "label": "unicorn"}])
    yield row(24, None, reward=1.0)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_version(tmp_path_factory.mktemp("versions") / "1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("log"), list(log()), "abc")


@pytest.fixture(scope="module")
def trained(dataset: Path, parent: Path) -> Trained:
    return ADAPTER.train(dataset, parent, 3, lambda *_: None)


def score_of_cups(version: Path) -> NDArray[np.float32]:
    """The score of the best cup in pictures that no training has seen."""
    pictures = np.stack([scene(number)[0] for number in range(30, 34)])
    return np.asarray(open_version(version).run({"image": pictures})["scores"][:, :, CUP].max(axis=1))


def test_what_was_corrected_is_seen_in_other_pictures(trained: Trained, parent: Path, tmp_path: Path) -> None:
    version = write_version(tmp_path / "2", trained.model, trained.files, parent)
    assert (score_of_cups(parent) < 0.1).all()
    assert (score_of_cups(version) > 0.2).all()


def test_only_weights_are_in_a_new_file(trained: Trained, parent: Path) -> None:
    before, after = Manifest.parse(parent.read_bytes()), Manifest.parse(trained.model)
    assert set(trained.files) == {WEIGHTS}
    assert after.files[MODEL] == before.files[MODEL]
    assert after.labels == before.labels


def test_the_same_seed_gives_the_same_version(trained: Trained, dataset: Path, parent: Path) -> None:
    again = ADAPTER.train(dataset, parent, 3, lambda *_: None)
    assert (again.model, again.files, again.card) == (trained.model, trained.files, trained.card)


def test_the_card_says_what_was_learned_from(trained: Trained) -> None:
    card = json.loads(json.dumps(trained.card))
    assert (card["dataset"], card["seed"], card["rehearsed pictures"]) == ("abc", 3, 3)
    assert card["feedback"] == {
        "train corrections": 10,
        "validation corrections": 2,
        "left out: a label that is none of the detector's classes": 1,
        "left out: a reward or a preference, which the pretrained detector does not learn from": 1,
    }


def test_a_trained_version_is_a_parent_too(trained: Trained, dataset: Path, parent: Path, tmp_path: Path) -> None:
    version = write_version(tmp_path / "2", trained.model, trained.files, parent)
    levels = CutDetector.of(version).levels
    assert not np.array_equal(levels[0].classes.weights, CutDetector.of(parent).levels[0].classes.weights)


def test_only_pictures_of_which_the_network_was_sure_are_rehearsed(dataset: Path, parent: Path) -> None:
    [square] = read(dataset, CutDetector.of(parent).anchors, LABELS, 10).sure
    np.testing.assert_array_equal(square, scene(21)[0])


def test_a_log_without_corrections_teaches_nothing(parent: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [row(1, None, reward=-1.0)], "abc")
    with pytest.raises(Untrainable, match=r"collect feedback.*a reward or a preference"):
        ADAPTER.train(dataset, parent, 0, lambda *_: None)


def test_features_of_another_preprocessing_are_refused(parent: Path, tmp_path: Path) -> None:
    data, declaration = tensors.encode({"image": np.zeros((8, 8, 3), np.uint8), "size": np.array([8, 8], np.int32)})
    dataset = write_dataset(tmp_path, [{**row(1, cup(1)), "features": data, "tensors": declaration}], "abc")
    with pytest.raises(Untrainable, match="another task or preprocess version"):
        ADAPTER.train(dataset, parent, 0, lambda *_: None)


def test_it_starts_from_a_version_and_a_dataset(tmp_path: Path, parent: Path) -> None:
    for dataset, version in ((None, None), (tmp_path, None), (None, parent)):
        with pytest.raises(Untrainable, match="from a parent on a dataset"):
            ADAPTER.train(dataset, version, 0, lambda *_: None)
