import asyncio
import io
import json
import time
import uuid
import zipfile
from typing import Any

import httpx
import polars as pl
import pytest

from app.embedded.readiness import api_url
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

NOBODY = str(uuid.uuid4())


async def ended(http: httpx.AsyncClient, replay_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        said: dict[str, Any] = (await http.get(f"/v1/replays/{replay_id}")).json()
        if said["state"] not in ("waiting", "running"):
            return said
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.1)


async def test_a_replay_is_asked_for_made_by_a_process_of_its_own_and_fetched(platform: Settings) -> None:
    await publish(platform, "letters.requests", [OutgoingRecord(b"abc"), OutgoingRecord(b"abd")])
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False) as http:
        asked = await http.post("/v1/replays", json={"task": "letters", "from": "2026-01-01", "content": "nothing"})
        assert asked.status_code == 202
        said = await ended(http, asked.json()["id"])
        assert (said["state"], said["reason"], said["task"], said["rows"]) == ("done", None, "letters", 0)
        assert said["from"] == "2026-01-01T00:00:00Z"
        assert said["counts"]["requests"]["skipped"]["unanswered"] >= 2
        answer = await http.get(f"/v1/replays/{said['id']}/download")
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
            rows, manifest = found.namelist()
            assert json.loads(found.read(manifest))["content_hash"] == said["content_hash"]
            assert pl.read_parquet(io.BytesIO(found.read(rows))).height == 0
        assert said["id"] in [one["id"] for one in (await http.get("/v1/replays")).json()["replays"]]
        gone = (await http.delete(f"/v1/replays/{said['id']}")).json()
        assert (gone["state"], gone["content_hash"]) == ("gone", said["content_hash"])
        refused = await http.get(f"/v1/replays/{said['id']}/download")
    assert (refused.status_code, refused.json()["detail"]) == (409, "the replay is gone: it was removed by hand")


async def test_without_a_broker_a_replay_fails_and_says_why(http: httpx.AsyncClient) -> None:
    said = (await http.post("/v1/replays", json={"task": "ocr"})).json()
    said = await ended(http, said["id"])
    assert said["state"] == "failed"
    assert "Kafka" in said["reason"]
    assert (await http.get(f"/v1/replays/{said['id']}/download")).status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"task": "sonar"}, 404, "there is no task 'sonar'"),
        ({"task": "ocr", "from": "yesterday"}, 422, "from 'yesterday' is not a valid time"),
        ({"task": "ocr", "from": "0001-01-01T00:00:00+14:00"}, 422, "+14:00' is not a valid time"),
        ({"task": "ocr", "as_of": "9999-12-31T23:00:00-14:00"}, 422, "-14:00' is not a valid time"),
        ({"task": "ocr", "from": "2026-02-01", "to": "2026-01-01"}, 422, "from is not before to"),
        ({"task": "ocr", "as_of": "2999-01-01"}, 422, "as_of 2999-01-01"),
        ({"task": "ocr", "content": "all"}, 422, "content 'all' is not known"),
        ({"task": "ocr", "where": "1 = 1"}, 422, "where: Unexpected keyword argument"),  # SQL from afar
        ({}, 422, "task: Field required"),
    ],
)
async def test_what_can_not_be_replayed_is_refused(
    http: httpx.AsyncClient, body: dict[str, str], status: int, reason: str
) -> None:
    answer = await http.post("/v1/replays", json=body)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/download"), ("DELETE", "")])
async def test_of_an_unknown_replay_there_is_nothing(http: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await http.request(method, f"/v1/replays/{NOBODY}{path}")).status_code == 404
