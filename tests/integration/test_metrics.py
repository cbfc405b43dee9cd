"""What the processes of a running platform expose."""

import pytest

from app import topics
from models.ocr.data.lines import make_payloads
from tests.support.exposed import NAMES, PROCESSES, SERVERS, exposed
from tests.support.log import Sent, publish, tail
from tests.support.stack import Stack


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
