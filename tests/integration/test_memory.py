"""The memory of corrections on the real stack: a correction answers the same input, until people contradict it."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.client import Hindsight
from app.embedded.api_readiness import api_url
from app.events.types import PredictionMade
from tests.integration.test_retraction import wait_for_outcome
from tests.support.stack import Stack


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Hindsight]:
    async with Hindsight(stack.settings.bootstrap, api_url=api_url(stack.settings), source="memory") as client:
        yield client


async def predict_until(client: Hindsight, payload: bytes, remembered: bool) -> PredictionMade:
    """Send an input again until it is answered from the memory, or by the model."""
    deadline = time.monotonic() + 60
    while True:
        prediction = await client.predict("scales", payload)
        if (prediction.memory is not None) == remembered:
            return prediction
        assert time.monotonic() < deadline, prediction
        await asyncio.sleep(0.1)


async def test_a_correction_answers_the_same_input_until_it_is_contradicted_or_retracted(
    stack: Stack, client: Hindsight
) -> None:
    first = await client.predict("scales", b"1 3.5")
    assert (first.output, first.memory) == ({"weight": 3.5}, None)
    correction = await client.feedback(first.prediction_id, correction={"weight": 9.0}, actor="ada")
    again = await predict_until(client, b"1 3.5", remembered=True)
    assert again.memory is not None
    assert (again.output, again.memory.output) == ({"weight": 9.0}, {"weight": 3.5})
    assert again.memory.corrected == first.prediction_id
    others = await asyncio.gather(*(client.predict("scales", f"1 3.{number}".encode()) for number in range(20, 50)))
    assert [other.memory for other in others] == [None] * 30

    await client.feedback(again.prediction_id, correction={"weight": 3.5}, actor="bob")
    async with httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False) as http:
        found = await wait_for_outcome(http, again.prediction_id, lambda outcome: outcome.get("label") is not None)
    assert (found["output"], found["outcome"]["output"], found["outcome"]["score"]) == (
        {"weight": 9.0},
        {"weight": 3.5},
        1.0,
    )
    assert found["outcome"]["memory"]["score"] < 1
    silent = await predict_until(client, b"1 3.5", remembered=False)
    assert silent.output == {"weight": 3.5}

    await client.retract(correction)
    await client.feedback(silent.prediction_id, correction={"weight": 4.0}, actor="cleo")
    await client.feedback(again.prediction_id, correction={"weight": 4.0}, actor="bob")
    assert (await predict_until(client, b"1 3.5", remembered=True)).output == {"weight": 4.0}
