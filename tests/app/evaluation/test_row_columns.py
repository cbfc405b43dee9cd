import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.evaluation.row_columns import outcome_columns, read_columns, reward_columns
from models.base import Untrainable
from tests.support.datasets import START, scale_row, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    served = [{"a": 0.7, "b": 0.3}, {"a": 0.2, "b": 0.8}, {}]
    rows = [
        scale_row(number, output=json.dumps({"action": "a", "probabilities": by_action}), confidence=confidence)
        for number, (by_action, confidence) in enumerate(zip(served, (0.5, 0.97, None), strict=True))
    ]
    return write_dataset(tmp_path, rows)


def test_slices_come_in_the_order_of_the_predictions(dataset: Path) -> None:
    times, slices = read_columns(dataset, ["2", "0", "1"], ["confidence", "preferred"], rewards=False)
    assert times == [START + timedelta(minutes=number) for number in (2, 0, 1)]
    assert slices == {"confidence": ["none", "0.5 to 0.8", "0.95 to 1"], "preferred": ["none", "a", "b"]}


@pytest.mark.parametrize("column", ["confidence", "output", "propensity", "reward"])
def test_rewards_are_not_compared_by_what_was_drawn(dataset: Path, column: str) -> None:
    with pytest.raises(Untrainable, match=f"can't be compared by {column}: choose from request_source"):
        read_columns(dataset, ["0"], ["version", column], rewards=True)


def test_a_column_that_is_missing_is_named(dataset: Path) -> None:
    with pytest.raises(Untrainable, match="no column colour"):
        read_columns(dataset, ["0"], ["colour"], rewards=False)


def test_runs_compare_rewards_by_the_preferred_output_where_it_is_known_and_labels_by_confidence(
    dataset: Path, tmp_path: Path
) -> None:
    declared = ["request_source", "selection"]
    assert reward_columns(dataset, declared) == ["request_source", "preferred"]
    (tmp_path / "other").mkdir()
    assert reward_columns(write_dataset(tmp_path / "other", [scale_row(1)]), declared) == ["request_source"]
    assert outcome_columns(declared) == ["request_source", "selection", "confidence"]
