"""Kills at every step of a run: it goes on where it was, and nothing is trained twice on one trigger."""

import asyncio
import json
import os
import signal
from collections import Counter
from contextlib import aclosing
from itertools import product
from pathlib import Path

import psutil
import pytest
from aiokafka import ConsumerRecord

from app.events import topics
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import ModelTrained
from app.registry.runs import STEPS
from app.registry.subscription import subscribe
from tests.support.kafka_clients import event_id, header_text, open_topic_reader
from tests.support.platform import read_pids
from tests.support.retraining_loop import MANUAL_TRIGGERS, LoopApi, run_platform, run_shop, wait_until
from tests.support.scales import Scales
from tests.support.stack import Stack

KILLS = list(product(STEPS, ("api", "trainer", "worker")))


@pytest.mark.soak
@pytest.mark.timeout(2400)
async def test_a_run_survives_kills_of_the_api_the_trainer_and_the_worker_at_every_step(tmp_path: Path) -> None:
    # Each round the scale is off by more: what was learned before is of no use.
    async with (
        run_platform(tmp_path, dataset_days=8 / 86_400, **MANUAL_TRIGGERS) as stack,
        asyncio.TaskGroup() as group,
    ):
        api, runs, outcomes = LoopApi(stack.settings), list[str](), list[str]()
        async with run_shop(stack.settings) as shop:
            for number, (step, victim) in enumerate(KILLS, 1):
                shop.second_scale_error = 5.0 * number
                await asyncio.sleep(10)
                reached = group.create_task(comes_to(stack, step, set(runs)))
                runs.append(await api.start_run())
                await reached
                kill(stack, victim, runs[-1])
                run = await wait_until(lambda: api.find_ended_run(runs[-1]), 300)
                outcomes.append(run["outcome"])
        async with open_topic_reader(stack.settings, topics.LIFECYCLE, from_beginning=True) as log:
            records = await log.read_until(lambda found: len(said(found, RetrainingTriggered.type)) >= len(KILLS))
            await asyncio.sleep(1)
        trained = {event_id(one): json.loads(one.value)["run_id"] for one in said(records, ModelTrained.type)}
        assert Counter(trained.values()) == Counter(runs)
        assert len(said(records, RetrainingTriggered.type)) == len(KILLS)
        # A run that began while all waited for a killed worker may have had too little to learn from.
        assert set(outcomes) <= {"promoted", "refused"}
        assert outcomes.count("promoted") > len(KILLS) / 2


async def comes_to(stack: Stack, step: str, before: set[str]) -> None:
    """Until the run that is none of those before is at this step, or beyond."""
    async with aclosing(subscribe(stack.settings, [Scales()])) as registries:
        async for registry in registries:
            run = registry.tasks["scales"].active_run
            if run is not None and run.id not in before and STEPS.index(run.step or STEPS[-1]) >= STEPS.index(step):
                return


def said(records: list[ConsumerRecord], kind: str) -> list[ConsumerRecord]:
    """Those of one type."""
    return [one for one in records if header_text(one, "ce_type") == kind]


def kill(stack: Stack, victim: str, run_id: str) -> None:
    """End it as the kernel would; a trainer that has not begun, or has ended, is left alone."""
    if victim != "trainer":
        os.kill(read_pids(stack.settings)[victim], signal.SIGKILL)
        return
    for process in psutil.process_iter(["cmdline"]):
        if run_id in (process.info["cmdline"] or ()):
            process.kill()
