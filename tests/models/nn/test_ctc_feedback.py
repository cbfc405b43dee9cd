"""What becomes of a dataset's rows: corrections, rewards, and what can't be learned from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from models.base import Untrainable
from models.nn.conv_ctc import ConvCtc
from models.nn.ctc_batches import Example
from models.nn.ctc_feedback import CtcFeedback, feedback
from models.nn.reward_weights import CLIP
from tests.support.datasets import text_row, write_dataset

NETWORK = ConvCtc(height=8, classes=4)
IMAGE = np.zeros((8, 20), np.uint8)


def encode(text: str) -> list[int]:
    return [{"a": 1, "b": 2, "c": 3}[symbol] for symbol in text]


def score(labels: list[int], truth: list[int]) -> float:
    return max(0.0, 1 - Levenshtein.distance(labels, truth) / max(1, len(truth)))


def read(directory: Path, rows: list[dict[str, Any]]) -> CtcFeedback:
    return feedback(write_dataset(directory, rows), "image", NETWORK, 64, encode, score)


def weighted(said: CtcFeedback) -> list[Example]:
    return [line.example for line in said.train.rewarded]


def test_a_correction_counts_whole_and_says_all_that_a_reward_of_the_same_row_does(tmp_path: Path) -> None:
    said = read(tmp_path, [text_row(IMAGE, "ab", label="abc", reward=-1.0)])
    (example,) = said.train.corrected
    assert (example.labels, example.weight) == ([1, 2, 3], 1.0)
    assert said.counts["train corrections"] == 1
    assert said.counts["train rewards"] == 0


def test_an_unexplained_reward_weighs_as_much_as_it_is_above_the_mean_and_as_its_text_was_improbable(
    tmp_path: Path,
) -> None:
    rows = [
        text_row(IMAGE, "a", reward=1.0, propensity=1.0),
        text_row(IMAGE, "b", reward=-1.0, propensity=0.5),
        text_row(IMAGE, "c", reward=-1.0, propensity=1e-9),
    ]
    said = read(tmp_path, rows)
    weights = np.array([1.0, 2.0, CLIP])
    baseline = (weights @ np.array([1.0, -1.0, -1.0])) / weights.sum()
    assert said.baseline == pytest.approx(baseline)
    assert [one.weight for one in weighted(said)] == pytest.approx(weights * (np.array([1.0, -1.0, -1.0]) - baseline))
    assert sum(one.weight for one in weighted(said)) == pytest.approx(0.0)


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
    assert [one.labels for one in said.train.corrected] == [[1, 2]]
    assert [one.labels for one in said.validation.corrected] == [[1, 3]]
    assert [one.example.labels for one in said.validation.rewarded] == [[2]]
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


def test_a_reward_is_explained_by_texts_that_give_the_served_one_its_score(tmp_path: Path) -> None:
    said = read(tmp_path, [text_row(IMAGE, "abc", reward=reward) for reward in (1.0, 0.67, 0.0)])
    right, nearly, wrong = said.train.rewarded
    assert (right.truth, nearly.truth, wrong.truth) == ([1, 2, 3], None, None)
    texts = [[1, 2, 3], [1, 2, 2], [3, 3, 3], [], [3, 1, 1]]
    assert [nearly.explains(text) for text in texts] == [False, True, False, False, False]
    assert [wrong.explains(text) for text in texts] == [False, False, False, True, True]


def test_a_thumb_is_explained_by_the_served_text_or_by_all_others(tmp_path: Path) -> None:
    said = read(tmp_path, [text_row(IMAGE, "ab", reward=reward) for reward in (1.0, -1.0)])
    up, down = said.train.rewarded
    assert (up.truth, down.truth) == ([1, 2], None)
    assert [down.explains(text) for text in ([1, 2], [1], [1, 3])] == [False, True, True]


def test_a_preference_is_explained_by_texts_that_are_nearer_to_the_better_output(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", preferences=preferences(better="ab", worse="c")),
        text_row(IMAGE, "a", preferences=preferences(better="x")),
        text_row(IMAGE, "a", label="b", preferences=preferences(better="ab")),
        text_row(IMAGE, "a", "validation", preferences=preferences(worse="b")),
    ]
    said = read(tmp_path, rows)
    first, second = said.train.preferred
    assert [(line.example.labels, line.example.weight) for line in (first, second)] == [([1], -1.0), ([3], -1.0)]
    assert [first.explains(text) for text in ([1, 2], [1], [3, 2], [3, 3])] == [True, False, True, False]
    assert [second.explains(text) for text in ([1, 2], [3], [3, 2])] == [True, False, False]
    assert [line.example.labels for line in said.validation.preferred] == [[2]]
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
    assert [line.example.weight for line in said.validation.rewarded] == [-1.5]


def test_what_cannot_be_learned_from_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        text_row(IMAGE, "a", label="ab"),
        text_row(IMAGE, "a", label="xyz"),
        text_row(IMAGE, "a", label="abcabcabcab"),
        text_row(IMAGE, "a", label="aaaaaa"),
        text_row(np.zeros((8, 65), np.uint8), "a", label="b"),
    ]
    said = read(tmp_path, rows)
    assert len(said.train.corrected) == 1
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
