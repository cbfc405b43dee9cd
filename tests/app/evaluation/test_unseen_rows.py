"""Which rows a version did not learn from, by its origin."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.evaluation.unseen_rows import ALL, Unseen, unseen_by_version, unseen_rows
from app.events.base import ModelRef
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import ModelRegistered
from app.registry.registry import ModelVersion, TaskModels
from app.registry.runs import Run
from models.datasets import ROWS
from tests.support.datasets import START, scale_row, write_dataset

HOUR = timedelta(hours=1)
RUN = RetrainingTriggered(task="scales", run_id="run", trigger="manual", evidence={}, champion="1")


@dataclass(frozen=True)
class Registered:
    """A version that was registered an hour after the start."""

    card: dict[str, Any]
    run_id: str | None = None

    def version(self) -> ModelVersion:
        event = ModelRegistered(
            task="scales",
            model=ModelRef(name="scales", version="2"),
            artifact="file:///model",
            card=self.card,
            preprocess_version="1",
            run_id=self.run_id,
        )
        return ModelVersion("scales", "2", event.artifact, self.card, event, START + HOUR)


def unseen(card: dict[str, Any], registered: bool, run_id: str | None = None) -> Unseen:
    version = Registered(card, run_id).version() if registered else ModelVersion("scales", "2", "file", card)
    models = TaskModels("scales", {"2": version}, runs={"run": Run("run", RUN, START)})
    return unseen_by_version(models, "2")


TRAINED = {"created by command": "hindsight train scales --dataset log --out candidate"}


@pytest.mark.parametrize(
    ("card", "registered", "run_id", "expected"),
    [
        ({}, False, None, Unseen("2", True, ALL)),
        (TRAINED, False, None, Unseen("2", True, None)),
        ({"dataset": "abc"}, False, None, Unseen("2", True, None)),
        ({}, True, "run", Unseen("2", True, START)),
        ({}, True, None, Unseen("2", False, START + HOUR)),
        (TRAINED, True, None, Unseen("2", True, START + HOUR)),
    ],
    ids=["shipped", "shipped, of a log", "shipped, of a dataset", "of a run", "imported", "registered by hand"],
)
def test_what_a_version_learned_from_follows_from_its_origin(
    card: dict[str, Any], registered: bool, run_id: str | None, expected: Unseen
) -> None:
    assert unseen(card, registered, run_id) == expected


IMPORTED = Unseen("3", False, START + HOUR)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([Unseen("1", True, ALL)], ["0", "1", "90", "91"]),
        ([Unseen("1", True, None)], ["0", "90"]),
        ([Unseen("2", True, START + HOUR)], ["0", "90", "91"]),
        ([IMPORTED], ["90", "91"]),
        ([IMPORTED, Unseen("1", True, ALL)], ["90", "91"]),
        ([IMPORTED, Unseen("1", True, None)], ["90"]),
        ([Unseen("2", True, START), Unseen("3", True, START + HOUR)], ["0", "90", "91"]),
    ],
    ids=lambda value: "; ".join(map(str, value)),
)
def test_rows_are_those_that_no_version_learned_from(
    tmp_path: Path, versions: list[Unseen], expected: list[str]
) -> None:
    rows = [scale_row(minutes + place, split=("test", "train")[place]) for minutes in (0, 90) for place in (0, 1)]
    with unseen_rows(write_dataset(tmp_path, rows), versions) as path:
        table = pq.read_table(path / ROWS)
    assert table["prediction_id"].to_pylist() == expected
    assert set(table["split"].to_pylist()) == {"test"}


def test_an_imported_version_says_that_its_training_data_are_not_known() -> None:
    assert str(IMPORTED) == (
        "all rows since 2026-01-01 01:00 UTC for version 3, because what it learned from is not known"
    )
    assert str(Unseen("2", True, START)) == "the split test and all rows since 2026-01-01 00:00 UTC for version 2"
    assert str(Unseen("1", True, None)) == "the split test for version 1"
