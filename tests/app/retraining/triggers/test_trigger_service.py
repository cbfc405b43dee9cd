"""Incidents published at each look, after a rise of latency."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.events.cloudevents import Record, header_text
from app.events.lifecycle import LatencyRose
from app.kafka.lag import RECORDER_GROUP
from app.monitoring.progress import ProgressMonitor
from app.monitoring.progress_tracker import GroupPosition, GroupProgress
from app.registry.registry import Registry
from app.retraining.triggers.catalog_observer import Observer
from app.retraining.triggers.observation import Observation
from app.retraining.triggers.trigger_service import TriggerService
from app.settings import Settings
from tests.support.catalog_fixtures import TASK, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales
from tests.support.triggers import latency_at


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
        triggering = TriggerService(settings, catalog, log, ProgressMonitor(settings))  # type: ignore[arg-type]
        await triggering.evaluate(task, models)
        assert log.records == []
        log.away = True
        with pytest.raises(Unavailable):
            await triggering.evaluate(task, models)
        log.away = False
        for _ in range(3):
            await triggering.evaluate(task, models)
    assert [header_text(one.headers, "ce_type") for one in log.records] == [LatencyRose.type]


async def test_windows_end_where_a_recorder_that_is_behind_has_come_to(tmp_path: Path) -> None:
    task = Scales()
    progress = ProgressMonitor(Settings())
    recorder_topics = [f"{TASK}.{kind}" for kind in ("predictions", "feedback", "joins")]
    with open_catalog(tmp_path, [make_prediction(1, START + timedelta(hours=5, minutes=30))]) as catalog:
        service = TriggerService(Settings(), catalog, FakeProducer(), progress)  # type: ignore[arg-type]
        ends = []
        for waiting in (1, 0):
            position = GroupPosition(committed=1, waiting=waiting)
            progress.group_progress = {(RECORDER_GROUP, topic): GroupProgress(position) for topic in recorder_topics}
            await service.evaluate(task, Registry([task]).tasks[TASK])
            quality = service.observations[TASK][1].quality
            assert quality is not None
            ends.append(quality.end)
    behind, caught_up = ends
    assert behind == START + timedelta(hours=5)
    assert datetime.now(UTC) - caught_up < timedelta(hours=2)
