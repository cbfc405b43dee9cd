"""The platform of `docker/compose.yaml`, built and run: a request is answered, corrected and archived."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.client import Hindsight
from models.small.ocr.data.lines import make_payloads
from tests.containers.podman import ComposedPlatform, build_images

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(5400),
    pytest.mark.needs("buildah", "mmdebstrap", "podman", "runc"),
]
READY_SECONDS = 300.0
ARCHIVED_SECONDS = 60.0
READ_ARCHIVE = """
import json
from app.eventlog.archive import Archive
from app.settings import settings
names = ("requests", "predictions", "feedback", "outcomes")
tables = {name: Archive(settings()).table(f"ocr.{name}") for name in names}
print(json.dumps({name: table.count() if table else 0 for name, table in tables.items()}))
"""


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposedPlatform]:
    """The running platform."""
    directory = tmp_path_factory.mktemp("containers")
    build_images(directory)
    platform = ComposedPlatform(directory)
    try:
        platform.up()
        yield platform
    finally:
        platform.down("--volumes")


async def wait_until_ready(platform: ComposedPlatform) -> None:
    deadline = time.monotonic() + READY_SECONDS
    answer = "no answer"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{platform.api_port}", trust_env=False) as http:
        while time.monotonic() < deadline:
            try:
                response = await http.get("/readyz", timeout=20)
            except httpx.TransportError as error:
                answer = repr(error)
            else:
                if response.status_code == 200:
                    return
                answer = response.text
            await asyncio.sleep(1)
    pytest.fail(f"not ready: {answer}\n{platform.state()}", pytrace=False)


async def wait_until_archived(platform: ComposedPlatform, expected: dict[str, int]) -> None:
    deadline = time.monotonic() + ARCHIVED_SECONDS
    while (counts := await asyncio.to_thread(platform.python, "archive", READ_ARCHIVE)) != expected:
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(2)


async def read_prediction(platform: ComposedPlatform, prediction_id: str) -> Any:
    headers = {"X-API-Key": platform.api_key}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{platform.api_port}", trust_env=False) as http:
        while True:
            response = await http.get(f"/v1/predictions/{prediction_id}", headers=headers, timeout=20)
            if response.status_code == 200 and response.json()["outcome"]:
                return response.json()
            assert response.status_code in (200, 404), response.text
            await asyncio.sleep(0.5)


async def test_a_request_is_answered_corrected_and_archived_and_all_of_it_outlives_the_containers(
    composed: ComposedPlatform,
) -> None:
    await wait_until_ready(composed)
    [sample, later] = make_payloads(2, seed=1)
    api = f"http://127.0.0.1:{composed.api_port}"
    async with Hindsight(f"127.0.0.1:{composed.kafka_port}", api_url=api, api_key=composed.api_key) as hindsight:
        prediction = await hindsight.predict("ocr", sample.payload)
        await hindsight.feedback(prediction.prediction_id, correction=sample.correction, actor="ada")
    before = await asyncio.wait_for(read_prediction(composed, prediction.prediction_id), 60)
    await wait_until_archived(composed, {"requests": 1, "predictions": 1, "feedback": 1, "outcomes": 1})

    composed.down()
    composed.up()
    await wait_until_ready(composed)

    assert await asyncio.wait_for(read_prediction(composed, prediction.prediction_id), 60) == before
    await wait_until_archived(composed, {"requests": 1, "predictions": 1, "feedback": 1, "outcomes": 1})
    async with Hindsight(f"127.0.0.1:{composed.kafka_port}", api_url=api, api_key=composed.api_key) as hindsight:
        assert (await hindsight.predict("ocr", later.payload)).output["text"]
