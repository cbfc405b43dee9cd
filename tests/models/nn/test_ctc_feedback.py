"""What becomes of a dataset's rows: corrections, rewards, and what can't be learned from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import Untrainable
from models.nn.conv_ctc import ConvCtc
from models.nn.ctc_feedback import CtcFeedback, feedback
from models.nn.reward_weights import CLIP
from tests.support.datasets import text_row, write_dataset

NETWORK = ConvCtc(height=8, classes=4)
IMAGE = np.zeros((8, 20), np.uint8)


def encode(text: str) -> list[int]:
    return [{"a": 1, "b": 2, "c": 3}[symbol] for symbol in text]


def read(directory: Path, rows: list[dict[str, Any]]) -> CtcFeedback:
    return feedback(write_dataset(directory, rows), "image", NETWORK, 64, encode)


def test_a_correction_counts_whole_and_says_all_that_a_reward_of_the_same_row_does(tmp_path: Path) -> None:
    said = read(tmp_path, [text_row(IMAGE, "ab", label="abc", reward=-1.0)])
    (example,) = said.train
    assert (example.labels, example.weight) == ([1, 2, 3], 1.0)
    assert said.counts["train corrections"] == 1
    assert said.counts["train rewards"] == 0


def test_a_reward_weighs_as_much_as_it_is_above_the_mean_and_as_its_text_was_improbable(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", reward=1.0, propensity=1.0),
        text_row(IMAGE, "b", reward=-1.0, propensity=0.5),
        text_row(IMAGE, "c", reward=-1.0, propensity=1e-9),
    ]
    said = read(tmp_path, rows)
    weights = np.array([1.0, 2.0, CLIP])
    baseline = (weights @ np.array([1.0, -1.0, -1.0])) / weights.sum()
    assert said.baseline == pytest.approx(baseline)
    assert [one.weight for one in said.train] == pytest.approx(weights * (np.array([1.0, -1.0, -1.0]) - baseline))
    assert sum(one.weight for one in said.train) == pytest.approx(0.0)


def test_only_rows_of_the_training_are_fitted_and_those_of_the_test_are_not_looked_at(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", "train", label="ab"),
        text_row(IMAGE, "a", "validation", label="ac"),
        text_row(IMAGE, "b", "validation", reward=0.5),
        text_row(IMAGE, "a", "test", label="?"),
        text_row(IMAGE, "a", "test", reward=1.0),
        text_row(IMAGE, "a", "train"),
    ]
    said = read(tmp_path, rows)
    assert [one.labels for one in said.train] == [[1, 2]]
    assert [one.labels for one in said.validation] == [[1, 3], [2]]
    assert [one.labels for one in said.corrected_validation] == [[1, 3]]
    assert said.counts == {
        "train corrections": 1,
        "train rewards": 0,
        "train preferences": 0,
        "validation corrections": 1,
        "validation rewards": 1,
        "validation preferences": 0,
    }


def preferences(**outputs: str) -> str:
    return json.dumps([{"output": {"text": text}, "better": name == "better"} for name, text in outputs.items()])


def test_a_preference_has_the_labels_of_the_better_and_of_the_worse_output(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", preferences=preferences(better="ab", worse="c")),
        text_row(IMAGE, "a", preferences=preferences(better="x")),
        text_row(IMAGE, "a", label="b", preferences=preferences(better="ab")),
        text_row(IMAGE, "a", "validation", preferences=preferences(worse="b")),
    ]
    said = read(tmp_path, rows)
    assert [(one.labels, one.worse) for one in said.train] == [([2], None), ([1, 2], [1]), ([1], [3])]
    assert [(one.labels, one.worse) for one in said.validation] == [([1], [2])]
    assert (said.counts["train preferences"], said.counts["validation preferences"]) == (2, 1)
    assert said.counts["left out: unknown symbol"] == 1


def test_the_baseline_is_that_of_the_rows_that_are_fitted(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", reward=1.0),
        text_row(IMAGE, "b", reward=0.0),
        text_row(IMAGE, "a", "validation", reward=-1.0),
    ]
    said = read(tmp_path, rows)
    assert said.baseline == 0.5
    assert [one.weight for one in said.validation] == [-1.5]


def test_what_cannot_be_learned_from_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", label="ab"),
        text_row(IMAGE, "a", label="xyz"),
        text_row(IMAGE, "a", label="abcabcabcab"),
        text_row(IMAGE, "a", label="aaaaaa"),
        text_row(np.zeros((8, 65), np.uint8), "a", label="b"),
    ]
    said = read(tmp_path, rows)
    assert len(said.train) == 1
    left_out = {name: count for name, count in said.counts.items() if name.startswith("left out")}
    assert left_out == {"left out: unknown symbol": 1, "left out: more symbols than fit": 2, "left out: too wide": 1}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no row"),
        ([text_row(IMAGE, "a")], "no row"),
        ([text_row(IMAGE, "a", "validation", label="b"), text_row(IMAGE, "a", "test", label="b")], "no row"),
        ([text_row(IMAGE, "a", label="x")], "unknown symbol"),
        ([text_row(IMAGE, "a", reward=1.0), text_row(IMAGE, "b", reward=1.0)], "all rewards are equal"),
        ([text_row(np.zeros((9, 20), np.uint8), "a", label="b")], "height 8"),
    ],
)
def test_a_dataset_that_teaches_nothing_is_refused_with_the_reason(
    tmp_path: Path, rows: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(Untrainable, match=reason):
        read(tmp_path, rows)
