"""Each alert fires on its fault, and only then: the real Prometheus scrapes the real platform.

The rules have seconds instead of hours (`write_fast_rules`); promtool tests their real times.
"""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from app.events import topics
from app.kafka import clients
from app.settings import Settings, TaskSettings
from app.system import disk
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.prometheus_alerts import GIB, PrometheusAlerts, write_fast_rules
from tests.support.retraining_loop import PROCESSES, TASK_RULES, LoopApi, run_shop, wait_until
from tests.support.scales.leaky import LEAK_BYTES
from tests.support.stack import Stack

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.needs("prometheus"),
]
STEADY_SECONDS = 600.0


@asynccontextmanager
async def platform(settings: Settings) -> AsyncIterator[Stack]:
    async with run_processes(settings, only=(*PROCESSES, "prometheus")) as supervisor:
        await supervisor.wait_ready(180)
        yield Stack(settings, supervisor)


def scales(directory: Path, **settings: float) -> Settings:
    """Return settings of a platform for `scales` on which no run starts by itself."""
    triggers = TASK_RULES["retraining"]["triggers"] | {"quality_min_score": None, "quality_alpha": None, "alerts": None}
    rules = TASK_RULES | {"retraining": TASK_RULES["retraining"] | {"triggers": triggers}}
    return platform_settings(
        directory,
        tasks={"scales": "tests.support.scales.leaky:Leaky"},
        task_settings={"scales": TaskSettings.model_validate(rules)},
        retraining_seconds=0.5,
        archive_seconds=1.0,
        liveness_timeout_seconds=3600,  # a stopped process stays stopped until its alert fires
        progress_timeout_seconds=3600,
        **settings,
    )


@contextmanager
def process_stopped(stack: Stack, name: str) -> Iterator[None]:
    """Stop a process (SIGSTOP) for as long as the block lasts."""
    pid = stack.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def table_missing(database: Path, table: str) -> Iterator[None]:
    """Rename a table of the catalog for as long as the block lasts."""
    for before, after in ((table, "away"), ("away", table)):
        with sqlite3.connect(database, timeout=30) as connection:
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
        connection.close()
        if after == "away":
            yield


async def delete_records(settings: Settings, topic: str) -> None:
    """Delete all records of a topic."""
    admin = clients.create_admin(settings)
    await admin.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        await admin.delete_records({partition: RecordsToDelete(before_offset=-1) for partition in partitions})
    finally:
        await admin.close()


async def test_alerts_report_what_is_wrong_with_processes_and_requests(tmp_path: Path) -> None:
    settings = scales(tmp_path, scrape_seconds=1)
    write_fast_rules(settings, min_free_bytes=disk.free(tmp_path) - GIB, max_memory_bytes=LEAK_BYTES)
    alerts, requests = PrometheusAlerts(settings), topics.requests("scales")
    async with platform(settings) as stack:
        async with run_shop(settings):
            await wait_until(lambda: alerts.query("sum(increase(hindsight_requests_total[40s])) > 200"))
            assert await alerts.is_inactive("HindsightDiskLow")
            with (tmp_path / "large").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 2 * GIB)
            await alerts.wait_until_firing("HindsightDiskLow", directory="home")
            (tmp_path / "large").unlink()

            assert await alerts.is_inactive("HindsightErrorRateHigh")
            await publish(settings, requests, [OutgoingRecord(b"nonsense") for _ in range(1000)])
            await alerts.wait_until_firing("HindsightDeadLetters", task="scales", stage="preprocess")
            await alerts.wait_until_firing("HindsightErrorRateHigh", task="scales")

            assert await alerts.is_inactive("HindsightLatencyHigh")
            with process_stopped(stack, "mlserver"):
                await asyncio.sleep(5)
            await alerts.wait_until_firing("HindsightLatencyHigh", task="scales")

            assert await alerts.is_inactive("HindsightMemoryHigh")
            await publish(settings, requests, [OutgoingRecord(b"0 -1.0")])
            await alerts.wait_until_firing("HindsightMemoryHigh", job="hindsight-worker")

            assert await alerts.is_inactive("HindsightTriggersFail")
            with table_missing(settings.home / "catalog.sqlite", "predictions"):
                await alerts.wait_until_firing("HindsightTriggersFail", task="scales")

            with process_stopped(stack, "archive"):
                await publish(settings, requests, [OutgoingRecord(b"0 1.0") for _ in range(100)])
                await alerts.wait_until_firing("HindsightProcessDown", job="hindsight-archive")
                await delete_records(settings, requests)
            await alerts.wait_until_firing("HindsightArchiveLost", topic=requests)

            assert await alerts.is_inactive("HindsightLagHigh")
            with process_stopped(stack, "worker"):
                await publish(settings, requests, [OutgoingRecord(b"0 1.0") for _ in range(11_000)])
                await alerts.wait_until_firing("HindsightLagHigh", task="scales", group="hindsight-worker")
            with process_stopped(stack, "mlserver"):
                stack.kill("worker")
                await alerts.wait_until_firing("HindsightNotReady", job="hindsight-worker")
        await alerts.wait_until_firing("HindsightNoTraffic", seconds=150, task="scales")


async def test_alerts_report_what_is_wrong_with_a_model(tmp_path: Path) -> None:
    settings = scales(tmp_path, scrape_seconds=1)
    write_fast_rules(settings)
    alerts, api = PrometheusAlerts(settings), LoopApi(settings)
    async with platform(settings), run_shop(settings) as shop:
        await wait_until(api.has_reference)
        run_id = await api.start_run()
        run = await wait_until(lambda: api.find_ended_run(run_id))
        assert run["outcome"] == "failed"  # a correct scale gives nothing to learn
        await alerts.wait_until_firing("HindsightRetrainingFailed", task="scales")
        for alert in ("HindsightQualityFellFast", "HindsightQualityFallsSlowly", "HindsightRetrain", "HindsightDrift"):
            assert await alerts.is_inactive(alert)
        shop.second_scale_error = 5.0
        for alert in ("HindsightQualityFellFast", "HindsightQualityFallsSlowly", "HindsightRetrain"):
            await alerts.wait_until_firing(alert, task="scales")
        shop.weight_shift = 100_000.0
        await alerts.wait_until_firing("HindsightDrift", task="scales", feature="outputs.length")
        assert await alerts.is_inactive("HindsightNoFeedback")
        shop.gives_feedback = False
        await alerts.wait_until_firing("HindsightNoFeedback", task="scales")


async def test_steady_traffic_fires_no_alert_and_adds_no_series(tmp_path: Path) -> None:
    settings = scales(tmp_path, scrape_seconds=5)
    alerts, series = PrometheusAlerts(settings), 'count({__name__=~"hindsight_.+"})'
    async with platform(settings), run_shop(settings):
        await asyncio.sleep(STEADY_SECONDS / 2)
        [middle] = await alerts.query(series)
        await asyncio.sleep(STEADY_SECONDS / 2)
        [end] = await alerts.query(series)
        assert await alerts.query('hindsight_requests_total{outcome="predicted"} > 0')
        assert await alerts.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{STEADY_SECONDS:.0f}s])') == []
    assert int(end["value"][1]) <= int(middle["value"][1])
