"""The rewards of the drifted camera are those that a person would give."""

from typing import Any

import pytest

from benchmarks.studies.drifted.object_detection import judge_reward


def box(left: float, label: str = "mug") -> dict[str, Any]:
    return {"box": [left, 0.0, left + 10.0, 10.0], "label": label}


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([], [], 1.0),
        ([box(0)], [box(1)], 1.0),
        ([box(0, "book")], [box(0)], -1.0),
        ([], [box(0)], -1.0),
        ([box(0)], [box(0), box(50), box(90)], 0.0),
        ([box(0), box(0)], [box(0), box(50)], 0.0),
    ],
)
def test_a_reward_measures_how_many_boxes_are_right(predicted: list[Any], true: list[Any], expected: float) -> None:
    assert judge_reward({"boxes": predicted}, {"boxes": true}) == pytest.approx(expected)
