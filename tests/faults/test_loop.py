"""Kills at every step of a run: it continues where it was, and no trigger is trained on twice."""

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
    # The error of the scale grows each round, so that an earlier version does not help.
    async with (
        run_platform(tmp_path, dataset_days=8 / 86_400, **MANUAL_TRIGGERS) as stack,
        asyncio.TaskGroup() as group,
    ):
        api, runs, outcomes = LoopApi(stack.settings), list[str](), list[str]()
        async with run_shop(stack.settings) as shop:
            for number, (step, victim) in enumerate(KILLS, 1):
                shop.second_scale_error = 5.0 * number
                await asyncio.sleep(10)
                reached = group.create_task(wait_for_step(stack, step, set(runs)))
                runs.append(await api.start_run())
                await reached
                kill(stack, victim, runs[-1])
                run = await wait_until(lambda: api.find_ended_run(runs[-1]), 300)
                outcomes.append(run["outcome"])
        async with open_topic_reader(stack.settings, topics.LIFECYCLE, from_beginning=True) as log:
            records = await log.read_until(
                lambda records: len(records_of(records, RetrainingTriggered.type)) >= len(KILLS)
            )
            await asyncio.sleep(1)
        trained = {
            event_id(record): json.loads(record.value)["run_id"] for record in records_of(records, ModelTrained.type)
        }
        assert Counter(trained.values()) == Counter(runs)
        assert len(records_of(records, RetrainingTriggered.type)) == len(KILLS)
        # A run that starts while a killed worker is not yet back may have too little to learn from.
        assert set(outcomes) <= {"promoted", "refused"}
        assert outcomes.count("promoted") > len(KILLS) / 2


async def wait_for_step(stack: Stack, step: str, before: set[str]) -> None:
    """Wait until a run that is not in `before` has reached this step."""
    async with aclosing(subscribe(stack.settings, [Scales()])) as registries:
        async for registry in registries:
            run = registry.tasks["scales"].active_run
            if run is not None and run.id not in before and STEPS.index(run.step or STEPS[-1]) >= STEPS.index(step):
                return


def records_of(records: list[ConsumerRecord], type: str) -> list[ConsumerRecord]:
    """Return the records of one type."""
    return [record for record in records if header_text(record, "ce_type") == type]


def kill(stack: Stack, victim: str, run_id: str) -> None:
    """Kill a process (SIGKILL). A trainer that does not run is no error."""
    if victim != "trainer":
        os.kill(read_pids(stack.settings)[victim], signal.SIGKILL)
        return
    for process in psutil.process_iter(["cmdline"]):
        if run_id in (process.info["cmdline"] or ()):
            process.kill()
