"""Incidents published at each look, after a rise of latency."""

from pathlib import Path

import pytest

from app.errors import Unavailable
from app.events.cloudevents import Record, header_text
from app.events.lifecycle import LatencyRose
from app.registry.registry import Registry
from app.retraining.triggers.catalog_observer import Observer
from app.retraining.triggers.observation import Observation
from app.retraining.triggers.trigger_service import TriggerService
from app.settings import Settings
from tests.app.retraining.triggers.test_evaluate import latency_at
from tests.support.catalog_fixtures import TASK, open_catalog
from tests.support.scales import Scales


class FakeProducer:
    """Collects published records, unless it is unavailable."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.away = False

    async def publish(self, record: Record) -> None:
        if self.away:
            raise Unavailable("test")
        self.records.append(record)


async def test_incidents_are_published_once_and_again_after_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(
        [latency_at(0, 40.0), latency_at(1, 90.0), latency_at(1, 90.0), latency_at(1, 90.0), latency_at(2, 90.0)]
    )

    def seen(*_: object) -> Observation:
        return next(looks)

    monkeypatch.setattr(Observer, "observe", seen)
    settings = Settings(task_settings={TASK: {"retraining": {"triggers": {"latency_max_p99_ms": 50.0}}}})
    task, log = Scales(), FakeProducer()
    models = Registry([task]).tasks[TASK]
    with open_catalog(tmp_path, []) as catalog:
        triggering = TriggerService(settings, catalog, log)  # type: ignore[arg-type]
        await triggering.evaluate(task, models)
        assert log.records == []
        log.away = True
        with pytest.raises(Unavailable):
            await triggering.evaluate(task, models)
        log.away = False
        for _ in range(3):
            await triggering.evaluate(task, models)
    assert [header_text(one.headers, "ce_type") for one in log.records] == [LatencyRose.type]
