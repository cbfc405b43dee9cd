"""What the processes of a running platform expose."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import topics
from app.settings import Settings
from models.ocr.lines import make_payloads
from tests.support.exposed import NAMES, SERVERS
from tests.support.log import Sent, publish, tail
from tests.support.stack import Stack

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")


async def exposed(settings: Settings, process: str) -> dict[str, list[dict[str, str]]]:
    """By the name of each series: its labels."""
    port = settings.api_port if process == "api" else getattr(settings, f"{process}_metrics_port")
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics", follow_redirects=True)).raise_for_status().text
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.mark.parametrize("process", PROCESSES)
async def test_every_process_says_what_it_takes_of_the_machine(stack: Stack, process: str) -> None:
    found = await exposed(stack.settings, process)
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= found.keys()
    assert process in SERVERS or {"hindsight_disk_free_bytes", "hindsight_ready"} <= found.keys()
    assert {name for name in found if name.startswith("hindsight_") and not name.endswith("_created")} <= NAMES


async def test_servers_of_others_expose_what_the_dashboards_read(stack: Stack) -> None:
    async with tail(stack.settings, topics.predictions("ocr")) as answers:
        await publish(stack.settings, topics.requests("ocr"), [Sent(one.payload) for one in make_payloads(1, seed=5)])
        await answers.until(bool)
    for process, names in SERVERS.items():
        found = await exposed(stack.settings, process)
        assert {name: set(found[name][0]) for name in names} == names
