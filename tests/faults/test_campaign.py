"""The long story of faults: any process at any time, again and again, under load."""

import asyncio
import random

import pytest

from app.events import topics
from models.ocr.data.lines import make_payloads
from tests.faults.test_kills import answered, expected, identified
from tests.support.kafka_clients import open_topic_reader, publish
from tests.support.stack import Stack

ROUNDS = 20
PER_ROUND = 900


@pytest.mark.soak
@pytest.mark.timeout(2400)
async def test_20_rounds_of_kills_under_load_lose_nothing(stack: Stack) -> None:
    chance = random.Random(1)
    samples = make_payloads(PER_ROUND, seed=31)
    victims = [process for process in stack.supervisor.processes if process != "api"]

    async def round_of_kills(source: str) -> None:
        wanted = expected(source, PER_ROUND)
        async with open_topic_reader(stack.settings, topics.predictions("ocr"), topics.DEAD_LETTERS) as answers:
            publishing = asyncio.create_task(
                publish(stack.settings, topics.requests("ocr"), identified(samples, source), rate=150)
            )
            for victim in chance.sample(victims, 2):
                await asyncio.sleep(chance.uniform(0.5, 3))
                stack.kill(victim)
            await publishing
            await answers.read_until(lambda read: wanted <= answered(read), 180)
            assert not [record for record in answers.records if record.topic == topics.DEAD_LETTERS]
        await stack.supervisor.wait_ready(180)

    for number in range(ROUNDS):
        await round_of_kills(f"round {number}")
