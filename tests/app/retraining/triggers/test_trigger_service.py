"""What the log is told at each look, by a catalog in which latency has risen."""

from pathlib import Path

import pytest

from app.errors import Unavailable
from app.events.cloudevents import Record, header
from app.events.lifecycle import LatencyRose
from app.registry.registry import Registry
from app.retraining.triggers.catalog_observer import Sight
from app.retraining.triggers.observation import Seen
from app.retraining.triggers.trigger_service import Triggering
from app.settings import Settings
from tests.app.retraining.triggers.test_evaluate import slow
from tests.support.catalog_fixtures import TASK, catalog_of
from tests.support.scales import Scales


class Log:
    """Takes what is published, unless it is away."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def publish(self, record: Record) -> None:
        if self.away:
            raise Unavailable("test")
        self.records.append(record)


async def test_what_newly_is_bad_is_said_once_and_again_if_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([slow(0, 40.0), slow(1, 90.0), slow(1, 90.0), slow(1, 90.0), slow(2, 90.0)])

    def seen(*_: object) -> Seen:
        return next(looks)

    monkeypatch.setattr(Sight, "observe", seen)
    settings = Settings(task_settings={TASK: {"retraining": {"triggers": {"latency_p99_ms": 50.0}}}})
    task, log = Scales(), Log()
    models = Registry([task]).tasks[TASK]
    with catalog_of(tmp_path, []) as catalog:
        triggering = Triggering(settings, catalog, log)  # type: ignore[arg-type]
        await triggering.look(task, models)
        assert log.records == []
        log.away = True
        with pytest.raises(Unavailable):
            await triggering.look(task, models)
        log.away = False
        for _ in range(3):
            await triggering.look(task, models)
    assert [header(one.headers, "ce_type") for one in log.records] == [LatencyRose.type]
