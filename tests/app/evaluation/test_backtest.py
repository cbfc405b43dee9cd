"""Backtests of a version on a dataset."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.evaluation.backtest import SPAN_COUNT, backtest
from models.base import Untrainable
from models.datasets import ROWS
from tests.support.datasets import START, scale_row, write_dataset
from tests.support.scales import Scales, make_scale_model


def ignore(what: str, done: int, of: int | None) -> None: ...


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version without an error."""
    (tmp_path / "model.onnx").write_bytes(make_scale_model(0.0))
    return tmp_path / "model.onnx"


def test_the_backtest_scores_the_version_and_the_served_outputs(version: Path, tmp_path: Path) -> None:
    """An output that is 5 off scores 0.5, as a label and as an agreement."""
    found = backtest(Scales(), version, write_dataset(tmp_path, [scale_row(n, 12.0) for n in range(30)]), ignore)
    assert (found.rows, found.unanswered, found.outcomes) == (30, 0, 30)
    assert (found.score, found.score_served, found.agreement) == (1.0, 0.5, 0.5)
    assert (found.difference, found.interval) == (0.5, (0.5, 0.5))


def test_backtest_spans_have_equal_length_and_contain_all_rows(version: Path, tmp_path: Path) -> None:
    """From the fifth tenth on, the served outputs were wrong."""
    rows = [scale_row(n, 7.0 if n < 50 else 17.0) for n in range(101)]
    found = backtest(Scales(), version, write_dataset(tmp_path, rows), ignore)
    assert [span.rows for span in found.spans] == [10] * 9 + [11]
    assert [span.score_served for span in found.spans] == [1.0] * 5 + [0.0] * 5
    assert (found.start, found.end) == (START, START + timedelta(minutes=100))


@pytest.mark.parametrize(
    "otherwise",
    [{"split": "train"}, {"split": "validation"}, {"selection_probability": None}, {"label": None}],
    ids=str,
)
def test_training_rows_and_volunteered_labels_have_no_score_but_an_agreement(
    version: Path, tmp_path: Path, otherwise: dict[str, Any]
) -> None:
    rows = [scale_row(1), scale_row(2), scale_row(3, 17.0, **otherwise), scale_row(4), scale_row(5)]
    found = backtest(Scales(), version, write_dataset(tmp_path, rows), ignore)
    assert (found.rows, found.outcomes, found.score_served) == (5, 4, 1.0)
    assert found.agreement == pytest.approx(4 / 5)


def test_only_a_stretch_of_time_with_enough_answers_is_scored(version: Path, tmp_path: Path) -> None:
    """Volunteers correct what was wrong; reviewers answer the last five."""
    volunteered = [scale_row(number, 17.0, audit_answered=False) for number in range(5)]
    reviewed = [scale_row(number, audit_answered=True) for number in range(5, 10)]
    found = backtest(Scales(), version, write_dataset(tmp_path, [*volunteered, *reviewed]), ignore)
    assert (found.outcomes, found.score_served) == (5, 1.0)
    assert (found.selected, found.answered) == (10, 5)


def test_a_backtest_of_one_entity_has_no_interval(version: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [scale_row(number, entity="till 1") for number in range(9)])
    assert backtest(Scales(), version, dataset, ignore).interval is None


def test_requests_after_the_training_are_scored_in_every_split(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(number, split="train") for number in range(10)]
    found = backtest(Scales(), version, write_dataset(tmp_path, rows), ignore, new_since=START + timedelta(minutes=6))
    assert found.outcomes == 4


def test_an_outcome_counts_by_the_inverse_of_its_selection_probability(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(1, 7.0, selection_probability=0.25), scale_row(2, 17.0, selection_probability=1.0)]
    assert backtest(Scales(), version, write_dataset(tmp_path, rows), ignore).score_served == pytest.approx(0.8)


def test_unanswered_rows_are_counted_and_score_0(version: Path, tmp_path: Path) -> None:
    """The model does not take a reading of two rows."""
    rows = [scale_row(1), scale_row(2, reading=np.zeros((1, 2), np.float32)), scale_row(3)]
    found = backtest(Scales(), version, write_dataset(tmp_path, rows), ignore)
    assert (found.unanswered, found.outcomes, found.agreement) == (1, 3, 1.0)
    assert found.score == pytest.approx(2 / 3)


def test_rows_without_features_are_left_out(version: Path, tmp_path: Path) -> None:
    rows = [scale_row(1), scale_row(2, features=None), scale_row(3)]
    assert backtest(Scales(), version, write_dataset(tmp_path, rows), ignore).rows == 2


def test_the_backtest_of_an_empty_history_is_empty(version: Path, tmp_path: Path) -> None:
    found = backtest(Scales(), version, write_dataset(tmp_path, []), ignore)
    assert (found.rows, found.spans, found.score, found.difference) == (0, (), None, None)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 20)), max_size=200))
@settings(max_examples=20)
def test_spans_contain_all_rows_and_the_backtest_is_deterministic(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, float]]
) -> None:
    directory = tmp_path_factory.mktemp("history")
    (directory / "model.onnx").write_bytes(make_scale_model(1.0))
    dataset = write_dataset(directory, [scale_row(minute, said) for minute, said in sorted(history)])
    found = backtest(Scales(), directory / "model.onnx", dataset, ignore)
    assert sum(span.rows for span in found.spans) == found.rows == len(history)
    assert len(found.spans) <= SPAN_COUNT
    assert backtest(Scales(), directory / "model.onnx", dataset, ignore) == found


def test_the_backtest_refuses_an_unreadable_dataset(version: Path, tmp_path: Path) -> None:
    (tmp_path / ROWS).write_bytes(b"no Parquet")
    with pytest.raises(Untrainable, match="can't be read"):
        backtest(Scales(), version, tmp_path, ignore)
