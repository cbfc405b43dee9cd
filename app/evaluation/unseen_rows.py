"""Rows of a dataset that versions did not learn from: a version looks good on what it learned from.

What a version learned from follows from its origin. A retraining run, like `hindsight train`, keeps the split `test`
for evaluation, and knows nothing that came later. A shipped version learned from no log, unless its card names a
dataset. Any other version may have learned from all that there was before its registration.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from app.registry.registry import ModelVersion, Registry, TaskModels
from app.registry.shipped import shipped_versions
from app.registry.subscription import read_registry
from app.settings import Settings
from models.base import Task
from models.datasets import held_out_rows

ALL = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Unseen:
    """The rows that a version did not learn from."""

    version: str
    test: bool
    """Whether these are all of the split `test`."""
    since: datetime | None
    """The time from which on these are all rows; None if there is none."""

    def condition(self) -> pc.Expression:
        """Return the condition on the rows."""
        of_test = pc.field("split") == "test" if self.test else pc.scalar(False)
        if self.since == ALL:
            return pc.scalar(True)
        since = pa.scalar(self.since or _LATEST, pa.timestamp("us", "UTC"))
        return of_test | (pc.field("time") >= since)

    def __str__(self) -> str:
        if self.since == ALL:
            return f"all rows for version {self.version}"
        parts = ["the split test"] if self.test else []
        parts += [f"all rows since {self.since:%Y-%m-%d %H:%M} UTC"] if self.since else []
        unknown = "" if self.test else ", because what it learned from is not known"
        return f"{' and '.join(parts)} for version {self.version}{unknown}"


def unseen_by(settings: Settings, task: Task, number: str) -> Unseen:
    """Return what a version did not learn from. Reads the registry for a version that does not ship with the task.

    Raises `SetupError`, KafkaError.
    """
    shipped = number in shipped_versions(task)
    registry = Registry([task]) if shipped else asyncio.run(read_registry(settings, [task]))
    return unseen_by_version(registry.tasks[task.name], number)


def unseen_by_version(models: TaskModels, number: str) -> Unseen:
    """Return what a version of the registry did not learn from. Raises `SetupError`."""
    version = models.version(number)
    if version.registration is None:
        return Unseen(number, True, None if _names_dataset(version) else ALL)
    run = models.runs.get(version.registration.run_id or "")
    if run is not None:
        return Unseen(number, True, run.time)
    return Unseen(number, _names_dataset(version), version.registered_at)


def _names_dataset(version: ModelVersion) -> bool:
    """Return whether a version was trained on a dataset by `hindsight train`, by its card."""
    return bool(version.card.get("dataset")) or "--dataset" in str(version.card.get("created by command"))


@contextmanager
def unseen_rows(dataset: Path, versions: Sequence[Unseen]) -> Iterator[Path]:
    """Yield a dataset of the rows that none of these versions learned from, all in the split `test`.

    Raises `Untrainable`.
    """
    condition = pc.scalar(True)
    for unseen in versions:
        condition &= unseen.condition()
    with held_out_rows(dataset, condition) as path:
        yield path
