import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.api.health import readiness
from app.api.server import create
from app.monitoring.lag import PREPROCESS_GROUP
from app.settings import Settings
from tests.support.asgi import serving

READY = "# TYPE hindsight_ready gauge\nhindsight_ready 1.0\n"
STARTING = "# TYPE hindsight_ready gauge\nhindsight_ready 0.0\n"


@asynccontextmanager
async def answers(port: int, body: str = "", status: str = "200 OK") -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


@asynccontextmanager
async def parts(config: Settings, **other: Any) -> AsyncIterator[None]:
    """All parts beside Kafka, ready unless said otherwise."""
    async with AsyncExitStack() as stack:
        for name in ("preprocess", "worker", "archive", "recorder"):
            await stack.enter_async_context(answers(getattr(config, f"{name}_metrics_port"), other.get(name, READY)))
        await stack.enter_async_context(answers(config.mlserver_http_port, status=other.get("mlserver", "200 OK")))
        yield


async def test_without_its_parts_the_platform_is_not_ready_and_names_them(http: httpx.AsyncClient) -> None:
    response = await http.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert body["ready"] is False
    assert {name: part["ready"] for name, part in body["parts"].items()} == {
        "kafka": False,
        "preprocess": False,
        "mlserver": False,
        "worker": False,
        "archive": False,
        "recorder": False,
    }
    assert all(part["detail"] for part in body["parts"].values())


async def test_with_all_its_parts_it_is_ready(platform: Settings) -> None:
    async with parts(platform), serving(create(platform)) as http:
        # A new cluster makes its offsets topic when the first group is asked for.
        while not (response := await http.get("/readyz")).json()["parts"]["kafka"]["ready"]:
            await asyncio.sleep(0.1)
        assert response.json()["ready"] is True
        assert response.status_code == 200
        assert "hindsight_ready 1.0" in (await http.get("/metrics")).text


async def test_a_part_that_is_starting_is_named(platform: Settings) -> None:
    async with parts(platform, worker=STARTING, mlserver="503 Service Unavailable", preprocess="nothing 1\n"):
        found = (await readiness(platform)).parts
    assert found["worker"].detail == "it is starting"
    assert found["preprocess"].detail == "it is starting"
    assert found["mlserver"].detail.endswith("/v2/health/ready says 503")
    assert not any(found[name].ready for name in ("worker", "preprocess", "mlserver"))


async def test_a_missing_topic_is_named(platform: Settings) -> None:
    more = platform.model_copy(update={"tasks": platform.tasks | {"sonar": "x:Y"}})
    kafka = (await readiness(more)).parts["kafka"]
    assert not kafka.ready
    assert "sonar.requests" in kafka.detail
    assert "ocr.requests" not in kafka.detail


async def test_a_stage_that_lags_is_not_ready(platform: Settings) -> None:
    patient, strict = (platform.model_copy(update={"ready_max_lag": most}) for most in (10_000, 0))
    producer = AIOKafkaProducer(bootstrap_servers=platform.bootstrap)
    await producer.start()
    for _ in range(3):
        await producer.send_and_wait("ocr.requests", b"payload")
    await producer.stop()
    async with parts(platform):
        before = (await readiness(strict)).parts["preprocess"]
        assert not before.ready
        assert int(before.detail.removeprefix("lag ")) >= 3
        assert (await readiness(patient)).parts["preprocess"].ready
        await commit_all(platform)
        after = (await readiness(strict)).parts["preprocess"]
        assert (after.ready, after.detail) == (True, "lag 0")


async def commit_all(config: Settings) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=config.bootstrap, group_id=PREPROCESS_GROUP, enable_auto_commit=False)
    await consumer.start()
    tps = [TopicPartition(f"{task}.requests", number) for task in config.tasks for number in range(config.partitions)]
    consumer.assign(tps)
    await consumer.commit(await consumer.end_offsets(tps))
    await consumer.stop()
