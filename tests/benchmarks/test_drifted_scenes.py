"""The drifted camera: its log is one that training reads, with rewards such as a person would give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.settings import CHECKOUT
from benchmarks import drifted_scenes
from models.base import Decoded, Judged
from models.datasets import rows

SHIPPED = CHECKOUT / "models/object_detection/versions/1/model.onnx"


def box(left: float, label: str = "mug") -> dict[str, Any]:
    return {"box": [left, 0.0, left + 10.0, 10.0], "label": label}


def test_the_log_says_of_each_scene_what_a_person_would(tmp_path: Path) -> None:
    made = drifted_scenes.logged(12, 3)
    assert made == drifted_scenes.logged(12, 3)
    log = drifted_scenes.served(made, SHIPPED, 0.5, "test")
    found = list(rows(drifted_scenes.write_dataset(tmp_path / "log", log, 10)))
    assert [row.split for row in found] == [*drifted_scenes.SPLITS, "train", "train"]
    for number, (row, one) in enumerate(zip(found, log, strict=True)):
        assert row.output == one.decoded.output
        assert row.propensity == one.decoded.propensity
        expected = drifted_scenes.reward(one.decoded.output, one.sample.correction)
        assert row.reward == (None if number >= 10 else expected)
        assert row.label == (None if number < 10 else one.sample.correction)
        np.testing.assert_array_equal(row.features["image"], one.asked.features["image"])


@pytest.mark.parametrize(
    ("said", "true", "expected"),
    [
        ([], [], 1.0),
        ([box(0)], [box(1)], 1.0),
        ([box(0, "book")], [box(0)], -1.0),
        ([], [box(0)], -1.0),
        ([box(0)], [box(0), box(50), box(90)], 0.0),
        ([box(0), box(0)], [box(0), box(50)], 0.0),
    ],
)
def test_a_reward_says_how_many_boxes_are_right(said: list[Any], true: list[Any], expected: float) -> None:
    assert drifted_scenes.reward({"boxes": said}, {"boxes": true}) == pytest.approx(expected)


def test_scenes_to_measure_on_are_in_no_log_and_their_truth_has_no_error() -> None:
    measured = drifted_scenes.samples(4, 3)
    assert not {one.payload for one in measured} & {one.payload for one in drifted_scenes.logged(4, 3)}
    assert drifted_scenes.error([Judged(one, Decoded(one.correction, 1.0)) for one in measured]) == pytest.approx(0.0)
