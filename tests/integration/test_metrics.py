"""The metrics that the processes of a running platform expose."""

import pytest

from app.events import topics
from models.small.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.metrics_exposition import METRIC_NAMES, PROCESSES, SERVER_METRICS, scrape_metrics
from tests.support.stack import Stack


@pytest.mark.parametrize("process", PROCESSES)
async def test_every_process_exposes_its_resources_and_only_known_metrics(stack: Stack, process: str) -> None:
    series = await scrape_metrics(stack.settings, process)
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= series.keys()
    assert process in SERVER_METRICS or {"hindsight_disk_free_bytes", "hindsight_ready"} <= series.keys()
    assert {name for name in series if name.startswith("hindsight_") and not name.endswith("_created")} <= METRIC_NAMES


async def test_third_party_servers_expose_what_the_dashboards_read(stack: Stack) -> None:
    async with open_topic_reader(stack.settings, topics.predictions("ocr")) as answers:
        [sample] = make_payloads(1, seed=5)
        await publish(stack.settings, topics.requests("ocr"), [OutgoingRecord(sample.payload)])
        await answers.read_until(bool)
    for process, names in SERVER_METRICS.items():
        series = await scrape_metrics(stack.settings, process)
        assert {name: set(series[name][0]) for name in names} == names
