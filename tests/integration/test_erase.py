"""A person is erased from every store, under a running platform, and nobody else is."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiokafka import TopicPartition
from sqlalchemy import make_url

from app.catalog import rebuild
from app.catalog.catalog import Catalog
from app.erasure import catch_up, deletion
from app.erasure.catch_up import wait_until_caught_up
from app.erasure.erase import erase
from app.erasure.search import DataSubject
from app.errors import SetupError
from app.eventlog.archive import Archive
from app.eventlog.schema import MAX_INLINE_BYTES
from app.events import topics
from app.events.answers import build_dead_letter
from app.events.base import EventData
from app.events.cloudevents import Origin, Record, TopicId
from app.events.ids import prediction_id
from app.events.types import Failure, FeedbackGiven
from app.kafka import clients, provisioning, reader
from app.replay.query import ReplayQuery
from app.replay.replay import replay
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.commands import CommandResult, run_command
from tests.support.fake_inference import make_prediction
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.platform import platform_settings, run_processes

TASK = "letters"
TIME = "2026-01-31T12:00:00Z"
ZEBRA, OKAPI = "zebra", "okapi"
"""Two subjects: their names are in all that is theirs, and nowhere else."""
QUOKKA, WOMBAT = "quokka", "wombat"
"""Two actors."""


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """All that keeps something. The tests say what preprocessing and inference would."""
    settings = platform_settings(
        tmp_path_factory.mktemp("erase"),
        tasks={TASK: "tests.support.tasks:Letters"},
        partitions=2,
        archive_seconds=0.5,
    )
    async with run_processes(settings, only=("kafka", "archive", "recorder")):
        await provisioning.wait_provisioned(settings)
        yield settings


async def test_a_subject_is_gone_from_every_store_and_another_has_all_that_it_had(
    platform: Settings, tmp_path: Path
) -> None:
    shared = bytes(MAX_INLINE_BYTES + 1)
    claims = {who: blob_store(platform).put(f"the payload of {who}".encode()) for who in (ZEBRA, OKAPI)}
    for who, actor in ((OKAPI, WOMBAT), (ZEBRA, WOMBAT), (OKAPI, QUOKKA)):
        await happen(platform, who, actor, claims[who], shared)
    await wait_until_caught_up(platform)
    before = archived(platform)
    dataset, damaged = tmp_path / "dataset", tmp_path / "damaged"
    for directory in (dataset, damaged):
        await asyncio.to_thread(
            replay, platform, ReplayQuery.from_options(platform, TASK, content="nothing"), directory
        )
    (damaged / "rows.parquet").write_bytes(b"garbage")
    await wait_until_caught_up(platform)
    assert any(ZEBRA in content(path) for path in kept(platform)), "or this test shows nothing"

    asked = await hindsight(platform, "erase", "--subject", ZEBRA, "--dry-run", "--json")
    done = await hindsight(platform, "erase", "--subject", ZEBRA, "--yes", "--json", "--requested-by", "the office")
    assert (done.code, damaged.as_uri() in done.err) == (1, True), done.err
    said = json.loads(done.out)

    theirs = [event for event in before if ZEBRA in event["all"]]
    assert (said["by"], said["requested_by"], said["unreachable"]) == ("subject", "the office", [damaged.as_uri()])
    assert said["counts"].items() >= {"archive": len(theirs), "blobs": 1, "datasets": 1, "catalog": 5}.items()
    assert json.loads(asked.out).items() >= {"blobs": 1, "datasets": 1, "catalog": 5, topics.requests(TASK): 2}.items()
    for path in [*kept(platform), *dataset.iterdir()]:
        assert ZEBRA not in content(path), path
    assert "erased" in json.loads((dataset / "manifest.json").read_text())
    log = await everything(platform)
    assert ZEBRA not in repr(log)
    assert said["erasure_id"] in repr(log)

    stores = blob_store(platform)
    assert (stores.exists(claims[ZEBRA]), stores.exists(claims[OKAPI])) == (False, True)
    left = {event["place"]: event for event in archived(platform)}
    assert all(event == left[event["place"]] for event in before if ZEBRA not in event["all"])
    assert {event["data_uri"] for event in left.values()} >= {stores.put(shared)}


async def test_after_an_erasure_the_archive_goes_on_where_it_was_and_the_catalog_can_be_rebuilt(
    platform: Settings,
) -> None:
    await happen(platform, OKAPI, WOMBAT, blob_store(platform).put(b"another"), b"abc", number=2)
    await wait_until_caught_up(platform)
    places = [event["place"] for event in archived(platform)]
    assert len(places) == len(set(places))
    catalog = Catalog(platform.catalog_url)
    before = rebuild.digest_tables(catalog)
    await rebuild.rebuild(platform, catalog)
    assert rebuild.digest_tables(catalog) == before
    catalog.close()
    assert ZEBRA not in "".join(content(path) for path in kept(platform))


async def test_an_actor_is_gone_and_what_others_said_of_the_same_predictions_is_judged_anew(platform: Settings) -> None:
    about = prediction_id(TASK, OKAPI, "1")
    done = await erase(platform, DataSubject(actor=QUOKKA), "the office", lambda *_: None)
    assert done.event.by == "actor"
    await wait_until_caught_up(platform)
    assert all(QUOKKA not in content(path) for path in kept(platform))
    assert QUOKKA not in repr(await everything(platform))
    outcomes = [event for event in archived(platform) if event["place"][0] == topics.outcomes(TASK)]
    of_it = [json.loads(event["data"]) for event in outcomes if event["key"] == about.encode()]
    assert of_it, "what the other actor said counts"
    assert {(tuple(one["actors"]), one["feedback"]) for one in of_it} == {((WOMBAT,), 1)}


async def test_wherever_an_erasure_is_interrupted_it_is_completed_by_doing_it_again(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose, delete_rows = DataSubject(subject=OKAPI), deletion.delete_rows
    for interrupted in topics.archived_topics([TASK]):

        def fail(settings: Settings, topic: str, places: Any, interrupted: str = interrupted) -> int:
            if topic == interrupted:
                raise OSError("the storage is away")
            return delete_rows(settings, topic, places)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="away"):
            patch.setattr(deletion, "delete_rows", fail)
            await erase(platform, whose, "the office", lambda *_: None)
    await erase(platform, whose, "the office", lambda *_: None)
    left = "".join(content(path) for path in kept(platform)) + repr(await everything(platform))
    for gone in (OKAPI, WOMBAT, prediction_id(TASK, OKAPI, "1"), prediction_id(TASK, OKAPI, "2")):
        assert gone not in left
    done = await erase(platform, whose, "the office", lambda *_: None)
    assert set(done.event.counts.values()) == {0}


async def test_who_does_not_read_is_named(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "STALLED_SECONDS", 0.5)
    await publish(platform, topics.requests(TASK), [OutgoingRecord(b"abc")])
    with pytest.raises(SetupError, match=r"1 events of letters\.requests wait for hindsight-preprocess"):
        await erase(platform, DataSubject(subject=ZEBRA), "the office", lambda *_: None)


async def hindsight(settings: Settings, *words: str) -> CommandResult:
    return await run_command(settings, "hindsight", *words)


async def happen(settings: Settings, who: str, actor: str, claim: str, payload: bytes, number: int = 1) -> None:
    """Two requests of a subject, and all that comes of them, read by whoever is not running here."""
    unique, request = prediction_id(TASK, who, str(number)), str(number)
    attributes = [("ce_id", request.encode()), ("ce_source", who.encode())]
    claimed = json.dumps({"uri": claim}).encode()
    requests = [
        OutgoingRecord(claimed, who.encode(), attributes),
        OutgoingRecord(payload, None, [("ce_subject", who.encode())]),
    ]
    letter = build_dead_letter(
        Record(topics.requests(TASK), who.encode(), claimed, ()),
        Origin(TopicId(f"{who}/{actor}"), topics.requests(TASK), 0, number, 0),
        Failure(stage="preprocess", code="bad", reason=f"{who} is refused"),
        (who, str(number)),
    )[1]
    features = [("ce_id", unique.encode()), ("ce_source", b"preprocess")]
    prediction = make_prediction(unique, request, {"sum": 1.0, "of": who})
    given = FeedbackGiven(prediction_id=unique, actor=actor, correction={"sum": 2.0, "said by": actor})
    await publish(settings, topics.requests(TASK), requests)
    await publish(settings, topics.features(TASK), [OutgoingRecord(who.encode(), None, features)])
    tried = prediction.model_copy(update={"prediction_id": f"{unique}:2", "role": "shadow"})
    for topic, said in ((topics.predictions(TASK), prediction), (topics.shadow_predictions(TASK), tried)):
        await publish(settings, topic, [sent(said, said.prediction_id, requestsource=who)])
    await publish(settings, topics.feedback(TASK), [sent(given, f"{who} {actor} {number}")])
    await publish(settings, topics.DEAD_LETTERS, [OutgoingRecord(letter.value, letter.key, letter.headers)])
    for group, topic in (("hindsight-preprocess", topics.requests(TASK)), ("hindsight-worker", topics.features(TASK))):
        await read_all(settings, group, topic)


def sent(data: EventData, id: str, **extensions: str) -> OutgoingRecord:
    record = data.to_record("", b"key", id=id, source="test", time=TIME, extensions=extensions)
    return OutgoingRecord(record.value, record.key, record.headers)


async def read_all(settings: Settings, group: str, topic: str) -> None:
    """Commit the ends of a topic for a group, as if it had read them."""
    consumer = clients.create_consumer(settings, group_id=group)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


def archived(settings: Settings) -> list[dict[str, Any]]:
    """Every event in the archive, with its place, and all of it as text."""
    events = []
    for topic in topics.archived_topics([TASK]):
        if (table := Archive(settings).table(topic)) is not None:
            for row in table.to_pyarrow_dataset().to_table().to_pylist():
                place = (topic, row["epoch"], row["partition"], row["offset"])
                # What is theirs by its prediction only is told by that.
                text = repr(row).replace(prediction_id(TASK, ZEBRA, "1"), ZEBRA)
                events.append(row | {"place": place, "all": text})
    return events


def kept(settings: Settings) -> Sequence[Path]:
    """All files of the storage and of the catalog, needed or not."""
    database = Path(str(make_url(settings.catalog_url).database))
    files = [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]
    return [*files, *database.parent.glob(f"{database.name}*")]


def content(path: Path) -> str:
    """What is in a file: of Parquet its bytes, its metadata and what they say."""
    said = path.read_bytes().decode(errors="replace")
    if path.suffix != ".parquet":
        return said
    return said + repr(pq.read_metadata(path).to_dict()) + repr(pq.ParquetFile(path).read().to_pylist())


async def everything(settings: Settings) -> list[Any]:
    """All that Kafka holds of this deployment's topics."""
    names = [topic.name for topic in topics.required_topics(settings)]
    held = await reader.fetch_offset_ranges(settings, names)
    ranges = {tp: (one.begin, one.end) for tp, one in held.items()}
    epochs = {tp.topic: one.topic_id for tp, one in held.items()}
    return [record async for some in reader.read_ranges(settings, ranges, epochs) for record in some]
