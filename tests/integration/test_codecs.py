"""Every part of a running platform reads what applications write with any codec, or in transactions."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from app.embedded.api_readiness import api_url
from app.erasure.catch_up import wait_until_caught_up
from app.erasure.erase import erase
from app.erasure.search import DataSubject
from app.eventlog.archive import Archive
from app.events import topics
from app.events.ids import prediction_id
from app.kafka import decompression, reader, record_parser
from app.kafka.lag import fetch_deployment_lags
from app.kafka.topic_ids import fetch_topic_ids
from app.replay.query import ReplayQuery
from app.replay.replay import replay
from app.settings import CHECKOUT, Settings
from tests.support.kafka_clients import open_topic_reader
from tests.support.stack import Stack

TASK, SOURCE = "decision", "codecs"
REQUESTS, FEEDBACK = topics.requests(TASK), topics.feedback(TASK)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PADDING = b" " * 2000
"""Makes a batch compressible: otherwise it is sent uncompressed."""
OFFERS = (CHECKOUT / "models" / TASK / "samples" / "offers-00.json").read_bytes() + PADDING


@dataclass(frozen=True)
class Event:
    """A request or its feedback, as an application writes it."""

    topic: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def make_request(id: str, **more: str) -> Event:
    headers = {"ce_id": id, "ce_source": SOURCE} | more
    return Event(REQUESTS, OFFERS, tuple((name, text.encode()) for name, text in headers.items()))


def make_reward(request_id: str) -> Event:
    value = {"prediction_id": prediction_id(TASK, SOURCE, request_id), "reward": 1.0, "actor": "shop"}
    headers = (("ce_id", f"reward-{request_id}".encode()), ("ce_source", SOURCE.encode()))
    return Event(FEEDBACK, json.dumps(value).encode() + PADDING, headers)


async def send_by_aiokafka(settings: Settings, codec: str, event: Event) -> None:
    options = {} if codec == "none" else {"compression_type": codec}
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, **options) as producer:
        await producer.send_and_wait(event.topic, event.value, b"shop", headers=list(event.headers))


async def send_by_kcat(settings: Settings, codec: str, event: Event) -> None:
    headers = [word for name, value in event.headers for word in ("-H", f"{name}={value.decode()}")]
    words = ("-P", "-b", settings.bootstrap, "-t", event.topic, "-k", "shop", "-z", codec, *headers, "-D", "\x01")
    process = await asyncio.create_subprocess_exec("kcat", *words, stdin=asyncio.subprocess.PIPE)
    await process.communicate(event.value)
    assert process.returncode == 0


PRODUCERS = {"aiokafka": send_by_aiokafka, "kcat": send_by_kcat}


async def read_archived(settings: Settings, topic: str) -> Mapping[str, bytes]:
    """Return the values of our events in the archive of a topic, by id."""
    table = Archive(settings).table(topic)
    assert table is not None
    rows = table.to_pyarrow_table(columns=["id", "source", "data"]).to_pylist()
    return {row["id"]: row["data"] for row in rows if row["source"] == SOURCE}


@pytest.mark.needs("kcat")
async def test_every_consumer_reads_every_codec_of_every_producer(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_ids = {
        f"{producer}-{codec}-{uuid.uuid4()}": (producer, codec) for producer in PRODUCERS for codec in CODECS
    }
    ids = {prediction_id(TASK, SOURCE, request_id) for request_id in request_ids}

    # Flink reads the request, the worker the features, and the application the answer.
    async with open_topic_reader(stack.settings, topics.predictions(TASK)) as answers:
        for request_id, (producer, codec) in request_ids.items():
            await PRODUCERS[producer](stack.settings, codec, make_request(request_id))
        await answers.read_until(
            lambda records: ids <= {json.loads(record.value)["prediction_id"] for record in records}, 60
        )
    # The recorder joins the feedback.
    async with open_topic_reader(stack.settings, topics.outcomes(TASK)) as outcomes:
        for request_id, (producer, codec) in request_ids.items():
            await PRODUCERS[producer](stack.settings, codec, make_reward(request_id))
        await outcomes.read_until(
            lambda records: (
                ids <= {record.key.decode() for record in records if json.loads(record.value)["reward"] == 1}
            ),
            60,
        )
    await wait_until_caught_up(stack.settings)
    requests, feedback = [await read_archived(stack.settings, topic) for topic in (REQUESTS, FEEDBACK)]
    assert all(requests[request_id] == OFFERS for request_id in request_ids)
    assert all(feedback[f"reward-{request_id}"].endswith(PADDING) for request_id in request_ids)
    async with httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False) as http:
        for id in ids:
            assert '"reward":1' in (await http.get(f"/v1/predictions/{id}")).raise_for_status().text

    assert await read_codecs(stack.settings, monkeypatch) >= {number for number in CODECS.values() if number}
    arguments = ReplayQuery.from_options(stack.settings, TASK, content="nothing")
    await asyncio.to_thread(replay, stack.settings, arguments, tmp_path / "dataset")
    rows = pq.read_table(tmp_path / "dataset" / "rows.parquet").to_pylist()
    assert {row["prediction_id"]: row["reward"] for row in rows}.items() >= dict.fromkeys(ids, 1.0).items()


async def read_codecs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Read our topics as commands do what is not archived yet; return the codecs that were decompressed."""
    codec_numbers = set[int]()
    decompress = decompression.decompress

    def spy(number: int, data: memoryview, limit: int) -> bytes:
        codec_numbers.add(number)
        return decompress(number, data, limit)

    monkeypatch.setattr(record_parser, "decompress", spy)
    for topic in (REQUESTS, FEEDBACK):
        present = await reader.fetch_offset_ranges(settings, [topic])
        topic_ids = {partition.topic: offsets.topic_id for partition, offsets in present.items()}
        ranges = {partition: (offsets.begin, offsets.end) for partition, offsets in present.items()}
        batches = reader.read_ranges(settings, ranges, topic_ids)
        values = [record.value async for batch in batches for record in batch]
        assert any(value is not None and value.endswith(PADDING) for value in values)
    return codec_numbers


async def test_events_of_an_aborted_transaction_are_never_read_and_delay_nothing(stack: Stack) -> None:
    requests = TopicPartition(REQUESTS, 1)
    ids = {state: str(uuid.uuid4()) for state in ("committed", "aborted")}
    subject = f"transacted-{uuid.uuid4()}"
    async with (
        open_topic_reader(stack.settings, topics.predictions(TASK)) as answers,
        AIOKafkaProducer(bootstrap_servers=stack.settings.bootstrap, transactional_id="shop-1") as shop,
    ):
        for state, request_id in ids.items():  # the aborted transaction is last: no record follows it
            events = [make_request(request_id, ce_subject=subject), make_reward(request_id)]
            await shop.begin_transaction()
            for event in events:
                await shop.send_and_wait(event.topic, event.value, partition=1, headers=list(event.headers))
            await (shop.commit_transaction() if state == "committed" else shop.abort_transaction())
        predictions = {state: prediction_id(TASK, SOURCE, request_id) for state, request_id in ids.items()}
        await answers.read_until(
            lambda records: (
                predictions["committed"] in {json.loads(record.value)["prediction_id"] for record in records}
            ),
            60,
        )
        await wait_until_caught_up(stack.settings)
        answered = [json.loads(record.value)["prediction_id"] for record in answers.records]
    assert predictions["aborted"] not in answered
    for topic, prefix in ((REQUESTS, ""), (FEEDBACK, "reward-")):
        archived = await read_archived(stack.settings, topic)
        assert f"{prefix}{ids['committed']}" in archived
        assert f"{prefix}{ids['aborted']}" not in archived
    async with asyncio.timeout(60):
        while any(sum(lags.values()) for lags in (await fetch_deployment_lags(stack.settings, 30)).values()):  # type: ignore[union-attr]
            await asyncio.sleep(0.5)
    topic_id = (await fetch_topic_ids(stack.settings, [REQUESTS]))[REQUESTS]
    done = await erase(stack.settings, DataSubject(subject=subject), "the office", lambda *_: None)
    assert done.event.counts["archive"] >= 1
    assert ids["committed"] not in await read_archived(stack.settings, REQUESTS)
    assert (await reader.fetch_offset_ranges(stack.settings, [REQUESTS]))[requests].topic_id == topic_id
