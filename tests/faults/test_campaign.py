"""A long campaign of faults: any process is killed at any time, again and again, under load."""

import asyncio
import random

import pytest

from app.events import topics
from models.small.ocr.data.lines import make_payloads
from tests.faults.test_kills import make_requests, predicted_ids, request_prediction_ids
from tests.support.kafka_clients import open_topic_reader, publish
from tests.support.stack import Stack

ROUNDS = 20
PER_ROUND = 900


@pytest.mark.soak
@pytest.mark.timeout(2400)
async def test_20_rounds_of_kills_under_load_lose_nothing(stack: Stack) -> None:
    rng = random.Random(1)
    samples = make_payloads(PER_ROUND, seed=31)
    victims = [process for process in stack.supervisor.processes if process != "api"]

    async def run_round(source: str) -> None:
        expected = request_prediction_ids(source, PER_ROUND)
        async with open_topic_reader(stack.settings, topics.predictions("ocr"), topics.DEAD_LETTERS) as answers:
            publishing = asyncio.create_task(
                publish(stack.settings, topics.requests("ocr"), make_requests(samples, source), rate=150)
            )
            for victim in rng.sample(victims, 2):
                await asyncio.sleep(rng.uniform(0.5, 3))
                stack.kill(victim)
            await publishing
            await answers.read_until(lambda records: expected <= predicted_ids(records), 180)
            assert not [record for record in answers.records if record.topic == topics.DEAD_LETTERS]
        await stack.supervisor.wait_ready(180)

    for number in range(ROUNDS):
        await run_round(f"round {number}")
