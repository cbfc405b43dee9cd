import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from app.kafka import clients
from app.kafka.lag import PREPROCESS_GROUP
from app.monitoring import progress
from app.monitoring.progress import ProgressMonitor
from app.registry.routes import Route
from app.services.readiness import HealthChecker, PartReadiness, Readiness
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from tests.support.fake_processes import READY, STARTING, fake_processes


async def check_readiness(config: Settings) -> Readiness:
    """Return the result of a new health checker's first check."""
    champions = {task: SimpleNamespace(versions=["1"], route=Route("1")) for task in config.tasks}
    controller: Any = SimpleNamespace(models=champions, trigger_service=SimpleNamespace(observations={}))
    state_metrics = StateMetrics(config, controller, ProgressMonitor(config))
    try:
        return await HealthChecker(config, state_metrics).readiness()
    finally:
        await state_metrics.progress.close()


async def test_readiness_names_the_processes_that_are_starting(platform: Settings) -> None:
    async with fake_processes(platform, worker=STARTING, mlserver="503 Service Unavailable", preprocess="nothing 1\n"):
        parts = (await check_readiness(platform)).parts
    assert parts["worker"].detail == "it is starting"
    assert parts["preprocess"].detail == "it is starting"
    assert parts["mlserver"].detail == "it answers with status 503"
    assert not any(parts[name].ready for name in ("worker", "preprocess", "mlserver"))


async def test_readiness_names_a_missing_topic(platform: Settings) -> None:
    config = platform.model_copy(update={"tasks": platform.tasks | {"sonar": "x:Y"}})
    kafka = (await check_readiness(config)).parts["kafka"]
    assert not kafka.ready
    assert "sonar.requests" in kafka.detail
    assert "ocr.requests" not in kafka.detail


async def test_a_stage_without_progress_on_overdue_records_is_not_ready_and_its_task_is_not_answered(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "COMMIT_SECONDS", 0.5)
    impatient = platform.model_copy(
        update={"unanswered_seconds": 0.1, "checkpoint_seconds": 0.1, "archive_seconds": 0.1}
    )
    await commit_all(platform)  # the platform is shared: other tests leave records of other tasks
    async with AIOKafkaProducer(bootstrap_servers=platform.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait("ocr.requests", b"payload")
    async with fake_processes(platform):
        await asyncio.sleep(1)
        stalled = await check_readiness(impatient)
        assert not stalled.ready
        assert not stalled.parts["preprocess"].ready
        assert stalled.parts["preprocess"].detail.startswith("no progress for 0 s, ")
        assert not stalled.tasks["ocr"].ready
        assert "held up by preprocess for 0 s: `hindsight restart preprocess`" in stalled.tasks["ocr"].detail
        assert stalled.tasks["letters"].ready
        await commit_all(platform)
        recovered = await check_readiness(impatient)
        assert recovered.parts["preprocess"] == PartReadiness(ready=True, detail="0 waiting")
        assert recovered.tasks["ocr"] == PartReadiness(ready=True, detail="")


async def test_readiness_names_a_routed_version_that_mlserver_lacks(platform: Settings) -> None:
    async with fake_processes(platform, mlserver="404 Not Found"):
        assert (await check_readiness(platform)).parts["mlserver"].detail == "it answers with status 404"
    async with fake_processes(platform, served={"/v2/health/ready", "/v2/models/ocr-1/versions/1/ready"}):
        mlserver = (await check_readiness(platform)).parts["mlserver"]
    assert mlserver.detail == "it does not serve letters version 1"


async def test_readiness_names_a_task_that_preprocess_is_not_ready_for(platform: Settings) -> None:
    gauges = 'hindsight_preprocess_ready{task="ocr"} 0\nhindsight_preprocess_ready{task="decision"} 1\n'
    async with fake_processes(platform, preprocess=READY + gauges):
        assert (await check_readiness(platform)).parts["preprocess"].detail == "it is starting: ocr"


async def commit_all(config: Settings) -> None:
    """Commit the end of all requests for preprocess."""
    consumer = clients.create_consumer(config, group_id=PREPROCESS_GROUP)
    await consumer.start()
    partitions = [
        TopicPartition(f"{task}.requests", number) for task in config.tasks for number in range(config.partitions)
    ]
    consumer.assign(partitions)
    await consumer.commit(await consumer.end_offsets(partitions))
    await consumer.stop()
