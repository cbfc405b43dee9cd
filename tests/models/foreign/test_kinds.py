"""From the outputs of heads to predictions, and back from corrections."""

from typing import Any

import numpy as np
import pytest

from models.base import Asked, Features, Rejected
from models.foreign.bandit import Bandit
from models.foreign.ctc import Ctc
from models.foreign.detection import Detection
from models.foreign.images import Geometry


class _Fixed:
    """Labels and no payloads."""

    def preprocess(self, payload: bytes) -> Features:
        return {}


class Reader(_Fixed, Ctc):
    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        return ("", "a", "b", " ")


class Offers(_Fixed, Bandit):
    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        return ("none", "small", "large")


class Finder(_Fixed, Detection):
    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        return ("cup", "jug")


def asked(**features: Any) -> list[Asked]:
    return [Asked("task:1", features)]


def test_repeated_symbols_count_once_unless_a_blank_parts_them_and_padding_is_not_read() -> None:
    outputs = {
        "symbols": np.array([[3, 1, 1, 0, 1, 2, 3, 3, 2, 2]]),
        "probabilities": np.array([[1, 0.5, 1, 1, 1, 0.5, 1, 1, 1, 0]]),
    }
    [decoded] = Reader().decode(outputs, asked())
    assert decoded.output == {"text": "aab b"}
    assert decoded.confidence == 0.25


def test_a_box_below_the_threshold_lowers_the_confidence_and_is_not_shown() -> None:
    outputs = {
        "boxes": np.array([[[10, 10, 30, 30], [0, 0, 5, 5], [90, 90, 99, 99]]], np.float32),
        "scores": np.array([[0.8, 0.25, 0.9]], np.float32),
        "classes": np.array([[1, 0, 0]]),
    }
    geometry = Geometry(0.5, 0.5, 10, 10, 100, 100).array()  # a picture of 100 x 100 lies in 10 to 60
    [decoded] = Finder().decode(outputs, asked(geometry=geometry))
    assert decoded.output == {"boxes": [{"box": [0.0, 0.0, 40.0, 40.0], "label": "jug", "score": 0.8}]}
    assert decoded.confidence == pytest.approx(0.8 * 0.75 * 0.9)


@pytest.mark.parametrize("exploration", ["epsilon-greedy", "softmax"])
def test_actions_are_drawn_as_often_as_their_probabilities_say(exploration: Any) -> None:
    task = Offers(exploration, epsilon=0.3)
    values = np.array([[0.2, 0.9, 0.1]])
    drawn = [task.decode({"values": values}, [Asked(f"offers:{number}", {})])[0] for number in range(2_000)]
    for action, probability in drawn[0].output["probabilities"].items():
        share = sum(one.output["action"] == action for one in drawn) / len(drawn)
        assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / len(drawn)) ** 0.5)
    assert {one.propensity for one in drawn} == set(drawn[0].output["probabilities"].values())


@pytest.mark.parametrize(
    ("task", "correction", "code"),
    [
        (Reader(), {"text": "a" * 20_000}, "text_too_long"),
        (Finder(), {"boxes": [{"box": [0, 0, 1, 1], "label": "can"}]}, "unknown_label"),
        (Finder(), {"boxes": [{"box": [2, 0, 1, 1], "label": "cup"}]}, "empty_box"),
        (Finder(), {"boxes": [{"box": [0, 0, 1], "label": "cup"}]}, "bad_box"),
        (Offers(), {"action": "medium"}, "unknown_value"),
        (Offers(), {"action": "small", "price": 1}, "unknown_field"),
    ],
)
def test_corrections_that_cannot_be_true_are_rejected(task: Any, correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        task.validate_correction(correction)
    assert caught.value.code == code
