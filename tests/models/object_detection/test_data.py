"""Data of a training: made scenes by seed, and the corrections that `hindsight replay` wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.eventlog.dataset import SCHEMA, Writer
from models import tensors
from models.object_detection import ObjectDetection
from models.object_detection.data import corrected, examples, made, repeated
from models.object_detection.images import Geometry
from models.object_detection.labels import LABELS
from models.object_detection.scenes import make_payloads

TASK = ObjectDetection()


def row(payload: bytes, **said: Any) -> dict[str, Any]:
    features, declared = tensors.encode(TASK.preprocess(payload))
    empty = dict.fromkeys(SCHEMA.names)
    return {**empty, "split": "train", "features": features, "tensors": declared, "output": '{"boxes": []}', **said}


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A dataset as replay writes it, without its manifest."""
    folder.mkdir()
    with Writer(folder / "rows.parquet") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, SCHEMA))
    return folder


def test_corrections_and_accepted_outputs_of_a_dataset_are_read_by_split(tmp_path: Path) -> None:
    first, second, *others = make_payloads(5, 0)
    dataset = write(
        tmp_path / "dataset",
        [
            row(first.payload, label=json.dumps(first.correction), accepted=False),
            row(second.payload, label='{"boxes": []}', accepted=True),
            row(others[0].payload),
            row(others[1].payload, accepted=False),
            row(others[2].payload, label=json.dumps(others[2].correction), split="validation"),
        ],
    )
    found = corrected(dataset)
    assert [truth for _, truth in found["train"]] == [first.correction, {"boxes": []}]
    assert [truth for _, truth in found["validation"]] == [others[2].correction]
    for name, tensor in TASK.preprocess(first.payload).items():
        np.testing.assert_array_equal(found["train"][0][0][name], tensor)


def test_examples_have_their_boxes_in_the_square() -> None:
    (sample,) = make_payloads(1, 2)
    features = TASK.preprocess(sample.payload)
    whole = examples([(features, sample.correction), (features, {"boxes": []})])
    boxes = sample.correction["boxes"]
    np.testing.assert_array_equal(whole.squares[0], features["image"])
    back = Geometry.from_array(features["geometry"]).to_picture(whole.boxes[0, : len(boxes)].astype(np.float64))
    np.testing.assert_allclose(back, [box["box"] for box in boxes], atol=1e-3)
    assert [LABELS[number] for number in whole.labels[0, : len(boxes)]] == [box["label"] for box in boxes]
    assert (whole.labels[0, len(boxes) :] == -1).all()
    assert (whole.labels[1] == -1).all()


def test_made_scenes_depend_on_seed_and_split_alone() -> None:
    first, again, other = (made("train", 3, seed, processes=1) for seed in (1, 1, 2))
    validation = made("validation", 3, 1, processes=1)
    for (features, truth), (same, same_truth) in zip(first, again, strict=True):
        assert truth == same_truth
        np.testing.assert_array_equal(features["image"], same["image"])
    assert not np.array_equal(first[0][0]["image"], other[0][0]["image"])
    assert not np.array_equal(first[0][0]["image"], validation[0][0]["image"])


def test_few_corrections_are_repeated_but_not_for_ever() -> None:
    scenes = made("train", 2, 0, processes=1)
    assert len(list(repeated(scenes, 6, 10))) == 6
    assert len(list(repeated(scenes, 100, 3))) == 6
    assert not list(repeated([], 10, 10))
