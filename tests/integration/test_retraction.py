"""Retractions on the real stack: the label is gone from everything that follows, and still there as of before."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from app.client import Hindsight
from app.embedded.api_readiness import api_url
from app.events import topics
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.stack import Stack


async def wait_for_outcome(
    http: httpx.AsyncClient, prediction_id: str, condition: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the prediction once the condition holds for its outcome."""
    deadline = time.monotonic() + 60
    while True:
        response = await http.get(f"/v1/predictions/{prediction_id}")
        prediction: dict[str, Any] = response.json()
        if response.is_success and condition(prediction["outcome"] or {}):
            return prediction
        assert time.monotonic() < deadline, prediction
        await asyncio.sleep(0.2)


async def read_labels(stack: Stack, out: Path, *options: str) -> dict[str, str | None]:
    """Return the labels of a dataset by prediction."""
    command = ["hindsight", "replay", "letters", "--content", "nothing", "--out", str(out), "--json", *options]
    done = await run_command(stack.settings, *command)
    assert done.code == 0, done.err
    rows = pl.read_parquet(out / "rows.parquet", columns=["prediction_id", "label"])
    return dict(rows.iter_rows())


async def test_a_label_that_is_retracted_in_any_way_is_gone_and_still_there_as_of_before(
    stack: Stack, tmp_path: Path
) -> None:
    ways = ("kafka", "http", "client")
    before = dict(zip(ways, await asyncio.gather(*(retract_label(stack, way) for way in ways)), strict=True))
    after = await read_labels(stack, tmp_path / "after")
    for way, (id, as_of) in before.items():
        assert after[id] is None, way
        assert (await read_labels(stack, tmp_path / way, "--as-of", as_of))[id] == '{"sum":7.0}', way


async def retract_label(stack: Stack, way: str) -> tuple[str, str]:
    """Give a label and retract it; return the prediction, and the time between."""
    async with (
        Hindsight(stack.settings.bootstrap, api_url=api_url(stack.settings), source=f"retraction-{way}") as client,
        httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False) as http,
    ):
        id = (await client.predict("letters", b"abc")).prediction_id
        feedback_id = await client.feedback(id, correction={"sum": 7.0}, actor="ada")
        await wait_for_outcome(http, id, lambda outcome: outcome.get("label") is not None)
        before = datetime.now(UTC).isoformat()
        await asyncio.sleep(0.01)
        if way == "kafka":
            body = json.dumps({"prediction_id": id, "retracts": feedback_id, "actor": "ada"}).encode()
            await publish(stack.settings, topics.feedback("letters"), [OutgoingRecord(body)])
        elif way == "http":
            assert (await http.delete(f"/v1/feedback/{feedback_id}")).status_code == 202
        else:
            await client.retract(feedback_id)
        prediction = await wait_for_outcome(http, id, lambda outcome: outcome.get("retracted") == 1)
    assert (prediction["outcome"]["label"], prediction["outcome"]["feedback"]) == (None, 0)
    assert prediction["feedback"][0]["retracted"] is not None
    return id, before
