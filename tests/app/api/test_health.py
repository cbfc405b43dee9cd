import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer, TopicPartition

from app.api.app import create_app
from app.kafka import clients
from app.kafka.lag import PREPROCESS_GROUP
from app.monitoring.progress import COMMIT_SECONDS
from app.registry.routes import Route
from app.services.readiness import HealthChecker, PartReadiness, Readiness
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from tests.support.asgi_client import serve_app

READY = "# TYPE hindsight_ready gauge\nhindsight_ready 1.0\n"
STARTING = "# TYPE hindsight_ready gauge\nhindsight_ready 0.0\n"


@asynccontextmanager
async def answers(
    port: int, body: str = "", status: str = "200 OK", only: Collection[str] | None = None
) -> AsyncIterator[None]:
    """`only`: the paths that are there."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        said = status if only is None or path in only else "404 Not Found"
        writer.write(f"HTTP/1.1 {said}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
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
        await stack.enter_async_context(
            answers(config.mlserver_http_port, status=other.get("mlserver", "200 OK"), only=other.get("serves"))
        )
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
    async with parts(platform), serve_app(create_app(platform)) as http:
        # A new cluster makes its offsets topic when the first group is asked for, and the routes are read.
        while not (response := await http.get("/readyz")).json()["ready"]:
            await asyncio.sleep(0.1)
        assert all(part["ready"] for part in response.json()["parts"].values())
        assert response.status_code == 200
        assert "hindsight_ready 1.0" in (await http.get("/metrics")).text


async def readiness(config: Settings) -> Readiness:
    """What a Hindsight says that has just begun to look."""
    champions = {task: SimpleNamespace(versions=["1"], route=Route("1")) for task in config.tasks}
    controller: Any = SimpleNamespace(models=champions, trigger_service=SimpleNamespace(observations={}))
    watching = StateMetrics(config, controller)
    try:
        return await HealthChecker(config, watching).readiness()
    finally:
        await watching.progress.close()


async def test_a_part_that_is_starting_is_named(platform: Settings) -> None:
    async with parts(platform, worker=STARTING, mlserver="503 Service Unavailable", preprocess="nothing 1\n"):
        found = (await readiness(platform)).parts
    assert found["worker"].detail == "it is starting"
    assert found["preprocess"].detail == "it is starting"
    assert found["mlserver"].detail == "it says 503"
    assert not any(found[name].ready for name in ("worker", "preprocess", "mlserver"))


async def test_a_missing_topic_is_named(platform: Settings) -> None:
    more = platform.model_copy(update={"tasks": platform.tasks | {"sonar": "x:Y"}})
    kafka = (await readiness(more)).parts["kafka"]
    assert not kafka.ready
    assert "sonar.requests" in kafka.detail
    assert "ocr.requests" not in kafka.detail


async def test_a_stage_that_moves_none_of_what_is_overdue_is_not_ready_and_its_task_is_not_answered(
    platform: Settings,
) -> None:
    impatient = platform.model_copy(
        update={"unanswered_seconds": 0.1, "checkpoint_seconds": 0.1, "archive_seconds": 0.1}
    )
    async with AIOKafkaProducer(bootstrap_servers=platform.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait("ocr.requests", b"payload")
    async with parts(platform):
        await asyncio.sleep(COMMIT_SECONDS + 0.5)
        found = await readiness(impatient)
        assert not found.ready
        assert not found.parts["preprocess"].ready
        assert found.parts["preprocess"].detail.startswith("no progress for 0 s, ")
        assert not found.tasks["ocr"].ready
        assert "held up by preprocess for 0 s: `hindsight restart preprocess`" in found.tasks["ocr"].detail
        assert found.tasks["letters"].ready
        await commit_all(platform)
        after = await readiness(impatient)
        assert after.parts["preprocess"] == PartReadiness(ready=True, detail="0 waiting")
        assert after.tasks["ocr"] == PartReadiness(ready=True, detail="")


async def test_a_version_that_a_route_needs_and_mlserver_lacks_is_named(platform: Settings) -> None:
    async with parts(platform, mlserver="404 Not Found"):
        assert (await readiness(platform)).parts["mlserver"].detail == "it says 404"
    async with parts(platform, serves={"/v2/health/ready", "/v2/models/ocr-1/versions/1/ready"}):
        found = (await readiness(platform)).parts["mlserver"]
    assert found.detail == "it does not serve letters version 1"


async def test_a_task_that_preprocess_is_not_ready_for_is_named(platform: Settings) -> None:
    gauges = 'hindsight_preprocess_ready{task="ocr"} 0\nhindsight_preprocess_ready{task="decision"} 1\n'
    async with parts(platform, preprocess=READY + gauges):
        assert (await readiness(platform)).parts["preprocess"].detail == "it is starting: ocr"


async def test_no_address_is_told_to_whoever_asks_and_asking_often_costs_little(platform: Settings) -> None:
    async with serve_app(create_app(platform.model_copy(update={"kafka_port": 1}))) as http:
        first = await http.get("/readyz")
        assert first.status_code == 503
        assert "127.0.0.1" not in first.text
        assert "http" not in first.text
        again = [await http.get("/readyz") for _ in range(3)]
        assert {one.text for one in again} == {first.text}
        for path in ("/livez", "/healthz"):
            assert (await http.get(path)).json() == {"status": "alive"}


async def commit_all(config: Settings) -> None:
    consumer = clients.create_consumer(config, group_id=PREPROCESS_GROUP)
    await consumer.start()
    tps = [TopicPartition(f"{task}.requests", number) for task in config.tasks for number in range(config.partitions)]
    consumer.assign(tps)
    await consumer.commit(await consumer.end_offsets(tps))
    await consumer.stop()
