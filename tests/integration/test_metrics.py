"""What the processes of a running platform expose."""

import pytest

from app.events import topics
from models.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.metrics_exposition import METRIC_NAMES, PROCESSES, SERVER_METRICS, scrape_metrics
from tests.support.stack import Stack


@pytest.mark.parametrize("process", PROCESSES)
async def test_every_process_says_what_it_takes_of_the_machine(stack: Stack, process: str) -> None:
    found = await scrape_metrics(stack.settings, process)
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= found.keys()
    assert process in SERVER_METRICS or {"hindsight_disk_free_bytes", "hindsight_ready"} <= found.keys()
    assert {name for name in found if name.startswith("hindsight_") and not name.endswith("_created")} <= METRIC_NAMES


async def test_servers_of_others_expose_what_the_dashboards_read(stack: Stack) -> None:
    async with open_topic_reader(stack.settings, topics.predictions("ocr")) as answers:
        await publish(
            stack.settings, topics.requests("ocr"), [OutgoingRecord(one.payload) for one in make_payloads(1, seed=5)]
        )
        await answers.read_until(bool)
    for process, names in SERVER_METRICS.items():
        found = await scrape_metrics(stack.settings, process)
        assert {name: set(found[name][0]) for name in names} == names
