from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.eventlog import snapshot
from app.events.cloudevents import ConsumedRecord
from app.replay import replay
from app.replay.query import ReplayQuery
from app.settings import Settings, TaskSettings
from tests.app.replay.logs import LATE, TASK, BuildDataset
from tests.support.request_history import take_snapshots


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildDataset:
    """Return a function that replays a log that only Kafka has, in this number of files."""

    def build(
        log: Sequence[ConsumedRecord], files: int = 1, rules: TaskSettings | None = None, **arguments: Any
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
            return take_snapshots(log, names, scratch, files)

        monkeypatch.setattr(snapshot, "take", take)
        defaults: dict[str, Any] = {"task": TASK, "task_settings": rules or TaskSettings(), "as_of": LATE}
        return replay.read_dataframe(Settings(home=tmp_path), ReplayQuery(**(defaults | arguments)))

    return build
