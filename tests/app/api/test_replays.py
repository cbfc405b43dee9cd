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

from app.embedded.api_readiness import api_url
from app.settings import Settings
from tests.support.kafka_clients import OutgoingRecord, publish

UNKNOWN_ID = str(uuid.uuid4())


async def wait_until_ended(http: httpx.AsyncClient, replay_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        replay: dict[str, Any] = (await http.get(f"/v1/replays/{replay_id}")).json()
        if replay["state"] not in ("waiting", "running"):
            return replay
        assert time.monotonic() < deadline, replay
        await asyncio.sleep(0.1)


async def test_a_replay_is_requested_run_downloaded_and_removed(platform: Settings) -> None:
    await publish(platform, "letters.requests", [OutgoingRecord(b"abc"), OutgoingRecord(b"abd")])
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False) as http:
        body = {"task": "letters", "from": "2026-01-01", "content": "nothing"}
        accepted = await http.post("/v1/replays", json=body)
        assert accepted.status_code == 202
        replay = await wait_until_ended(http, accepted.json()["id"])
        assert (replay["state"], replay["reason"], replay["task"], replay["rows"]) == ("done", None, "letters", 0)
        assert replay["from"] == "2026-01-01T00:00:00Z"
        assert replay["counts"]["requests"]["skipped"]["unanswered"] >= 2
        download = await http.get(f"/v1/replays/{replay['id']}/download")
        assert download.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
            rows, manifest = archive.namelist()
            assert json.loads(archive.read(manifest))["content_hash"] == replay["content_hash"]
            assert pl.read_parquet(io.BytesIO(archive.read(rows))).height == 0
        assert replay["id"] in [listed["id"] for listed in (await http.get("/v1/replays")).json()["replays"]]
        removed = (await http.delete(f"/v1/replays/{replay['id']}")).json()
        assert (removed["state"], removed["content_hash"]) == ("gone", replay["content_hash"])
        refused = await http.get(f"/v1/replays/{replay['id']}/download")
    assert (refused.status_code, refused.json()["detail"]) == (409, "the replay is gone: it was removed by hand")


async def test_without_a_broker_a_replay_fails_with_its_reason(http: httpx.AsyncClient) -> None:
    accepted = (await http.post("/v1/replays", json={"task": "ocr"})).json()
    replay = await wait_until_ended(http, accepted["id"])
    assert replay["state"] == "failed"
    assert "Kafka" in replay["reason"]
    assert (await http.get(f"/v1/replays/{replay['id']}/download")).status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"task": "sonar"}, 404, "There is no task 'sonar'"),
        ({"task": "ocr", "from": "some day"}, 422, "from 'some day' is not a valid time"),
        ({"task": "ocr", "from": "0001-01-01T00:00:00+14:00"}, 422, "+14:00' is not a valid time"),
        ({"task": "ocr", "as_of": "9999-12-31T23:00:00-14:00"}, 422, "-14:00' is not a valid time"),
        ({"task": "ocr", "from": "2026-02-01", "to": "2026-01-01"}, 422, "from is not before to"),
        ({"task": "ocr", "as_of": "2999-01-01"}, 422, "as_of 2999-01-01"),
        ({"task": "ocr", "content": "all"}, 422, "content 'all' is not known"),
        ({"task": "ocr", "where": "1 = 1"}, 422, "where: Unexpected keyword argument"),  # clients must not send SQL
        ({}, 422, "task: Field required"),
    ],
)
async def test_invalid_arguments_of_a_replay_are_refused(
    http: httpx.AsyncClient, body: dict[str, str], status: int, reason: str
) -> None:
    response = await http.post("/v1/replays", json=body)
    assert response.status_code == status
    assert reason in response.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/download"), ("DELETE", "")])
async def test_an_unknown_replay_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await http.request(method, f"/v1/replays/{UNKNOWN_ID}{path}")).status_code == 404
