"""What applications write with any codec, or in transactions, is read by every part of a running platform."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from app.embedded.readiness import api_url
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
from tests.support.kafka_clients import open_topic_reader as tailed
from tests.support.stack import Stack

TASK, SOURCE = "decision", "codecs"
REQUESTS, FEEDBACK = topics.requests(TASK), topics.feedback(TASK)
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PADDING = b" " * 2000
"""A batch that does not become smaller is sent as it is."""
OFFERS = (CHECKOUT / "models" / TASK / "samples" / "offers-00.json").read_bytes() + PADDING


@dataclass(frozen=True)
class Event:
    """A request or its feedback, as an application writes it."""

    topic: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def request(unique: str, **more: str) -> Event:
    named = {"ce_id": unique, "ce_source": SOURCE} | more
    return Event(REQUESTS, OFFERS, tuple((name, text.encode()) for name, text in named.items()))


def rewarded(unique: str) -> Event:
    value = {"prediction_id": prediction_id(TASK, SOURCE, unique), "reward": 1.0, "actor": "shop"}
    headers = (("ce_id", f"reward-{unique}".encode()), ("ce_source", SOURCE.encode()))
    return Event(FEEDBACK, json.dumps(value).encode() + PADDING, headers)


async def by_aiokafka(settings: Settings, codec: str, event: Event) -> None:
    options = {} if codec == "none" else {"compression_type": codec}
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, **options) as producer:
        await producer.send_and_wait(event.topic, event.value, b"shop", headers=list(event.headers))


async def by_kcat(settings: Settings, codec: str, event: Event) -> None:
    headers = [word for name, value in event.headers for word in ("-H", f"{name}={value.decode()}")]
    words = ("-P", "-b", settings.bootstrap, "-t", event.topic, "-k", "shop", "-z", codec, *headers, "-D", "\x01")
    process = await asyncio.create_subprocess_exec("kcat", *words, stdin=asyncio.subprocess.PIPE)
    await process.communicate(event.value)
    assert process.returncode == 0


PRODUCERS = {"aiokafka": by_aiokafka, "kcat": by_kcat}


async def archived(settings: Settings, topic: str) -> Mapping[str, bytes]:
    """The values of our events in a topic's table, by id."""
    table = Archive(settings).table(topic)
    assert table is not None
    rows = table.to_pyarrow_table(columns=["id", "source", "data"]).to_pylist()
    return {row["id"]: row["data"] for row in rows if row["source"] == SOURCE}


@pytest.mark.parametrize("codec", ["none", *CODECS])
@pytest.mark.parametrize("producer", PRODUCERS)
async def test_every_consumer_reads_every_codec(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, producer: str
) -> None:
    assert producer == "aiokafka" or shutil.which("kcat"), "apt-get install kcat"
    send, unique = PRODUCERS[producer], str(uuid.uuid4())
    predicted = prediction_id(TASK, SOURCE, unique)

    # Flink reads the request, the worker what Flink made of it, and the application its answer.
    async with tailed(stack.settings, topics.predictions(TASK)) as answers:
        await send(stack.settings, codec, request(unique))
        await answers.read_until(
            lambda found: any(json.loads(one.value)["prediction_id"] == predicted for one in found), 60
        )
    # The recorder joins the feedback.
    async with tailed(stack.settings, topics.outcomes(TASK)) as outcomes:
        await send(stack.settings, codec, rewarded(unique))
        await outcomes.read_until(
            lambda found: any(one.key == predicted.encode() and json.loads(one.value)["reward"] == 1 for one in found),
            60,
        )
    await wait_until_caught_up(stack.settings)
    assert (await archived(stack.settings, REQUESTS))[unique] == OFFERS
    assert (await archived(stack.settings, FEEDBACK))[f"reward-{unique}"].endswith(PADDING)
    async with httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False) as http:
        said = (await http.get(f"/v1/predictions/{predicted}")).raise_for_status().text
    assert '"reward":1' in said

    # Commands read the log itself, and what is not archived yet from Kafka.
    seen = set[int]()
    decompress = decompression.decompress

    def spy(number: int, data: memoryview, limit: int) -> bytes:
        seen.add(number)
        return decompress(number, data, limit)

    monkeypatch.setattr(record_parser, "decompress", spy)
    for topic in (REQUESTS, FEEDBACK):
        held = await reader.fetch_offset_ranges(stack.settings, [topic])
        epochs = {tp.topic: one.topic_id for tp, one in held.items()}
        ranges = {tp: (one.begin, one.end) for tp, one in held.items()}
        values = [one.value async for batch in reader.read_ranges(stack.settings, ranges, epochs) for one in batch]
        assert any(value is not None and value.endswith(PADDING) for value in values)
    assert codec == "none" or CODECS[codec] in seen
    arguments = ReplayQuery.from_options(stack.settings, TASK, content="nothing")
    await asyncio.to_thread(replay, stack.settings, arguments, tmp_path / "dataset")
    [row] = [
        row
        for row in pq.read_table(tmp_path / "dataset" / "rows.parquet").to_pylist()
        if row["prediction_id"] == predicted
    ]
    assert row["reward"] == 1.0


async def test_what_a_transaction_aborts_is_never_there_and_holds_up_nothing(stack: Stack) -> None:
    requests = TopicPartition(REQUESTS, 1)
    ids = {state: str(uuid.uuid4()) for state in ("committed", "aborted")}
    subject = f"transacted-{uuid.uuid4()}"
    async with (
        tailed(stack.settings, topics.predictions(TASK)) as answers,
        AIOKafkaProducer(bootstrap_servers=stack.settings.bootstrap, transactional_id="shop-1") as shop,
    ):
        for state, unique in ids.items():  # what is aborted comes last: nothing comes behind it
            events = [request(unique, ce_subject=subject), rewarded(unique)]
            await shop.begin_transaction()
            for event in events:
                await shop.send_and_wait(event.topic, event.value, partition=1, headers=list(event.headers))
            await (shop.commit_transaction() if state == "committed" else shop.abort_transaction())
        predicted = {state: prediction_id(TASK, SOURCE, unique) for state, unique in ids.items()}
        await answers.read_until(
            lambda found: any(json.loads(one.value)["prediction_id"] == predicted["committed"] for one in found), 60
        )
        await wait_until_caught_up(stack.settings)
        said = [json.loads(one.value)["prediction_id"] for one in answers.records]
    assert predicted["aborted"] not in said
    for topic, prefix in ((REQUESTS, ""), (FEEDBACK, "reward-")):
        kept = await archived(stack.settings, topic)
        assert (f"{prefix}{ids['committed']}" in kept, f"{prefix}{ids['aborted']}" in kept) == (True, False)
    async with asyncio.timeout(60):
        while any(sum(lags.values()) for lags in (await fetch_deployment_lags(stack.settings, 30)).values()):  # type: ignore[union-attr]
            await asyncio.sleep(0.5)
    epoch = (await fetch_topic_ids(stack.settings, [REQUESTS]))[REQUESTS]
    done = await erase(stack.settings, DataSubject(subject=subject), "the office", lambda *_: None)
    assert done.event.counts["archive"] >= 1
    assert ids["committed"] not in await archived(stack.settings, REQUESTS)
    assert (await reader.fetch_offset_ranges(stack.settings, [REQUESTS]))[requests].topic_id == epoch
