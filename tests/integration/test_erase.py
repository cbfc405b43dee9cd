"""An erasure removes a person, and nobody else, from every store of a running platform."""

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
"""Two subjects: their names are in all of their data, and nowhere else."""
QUOKKA, WOMBAT = "quokka", "wombat"
"""Two actors."""


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """The processes that store data. The tests publish what preprocessing and inference would."""
    settings = platform_settings(
        tmp_path_factory.mktemp("erase"),
        tasks={TASK: "tests.support.tasks:Letters"},
        partitions=2,
        archive_seconds=0.5,
    )
    async with run_processes(settings, only=("kafka", "archive", "recorder")):
        await provisioning.wait_provisioned(settings)
        yield settings


async def test_a_subject_is_erased_from_every_store_and_another_subject_keeps_all_data(
    platform: Settings, tmp_path: Path
) -> None:
    shared = bytes(MAX_INLINE_BYTES + 1)
    claims = {subject: blob_store(platform).put(f"the payload of {subject}".encode()) for subject in (ZEBRA, OKAPI)}
    for subject, actor in ((OKAPI, WOMBAT), (ZEBRA, WOMBAT), (OKAPI, QUOKKA)):
        await publish_story(platform, subject, actor, claims[subject], shared)
    await wait_until_caught_up(platform)
    before = read_archive(platform)
    dataset, damaged = tmp_path / "dataset", tmp_path / "damaged"
    for directory in (dataset, damaged):
        await asyncio.to_thread(
            replay, platform, ReplayQuery.from_options(platform, TASK, content="nothing"), directory
        )
    (damaged / "rows.parquet").write_bytes(b"garbage")
    await wait_until_caught_up(platform)
    assert any(ZEBRA in read_content(path) for path in stored_files(platform)), "the test would show nothing"

    dry_run = await hindsight(platform, "erase", "--subject", ZEBRA, "--dry-run", "--json")
    done = await hindsight(platform, "erase", "--subject", ZEBRA, "--yes", "--json", "--requested-by", "the office")
    assert (done.code, damaged.as_uri() in done.err) == (1, True), done.err
    erasure = json.loads(done.out)

    subjects_events = [event for event in before if ZEBRA in event["all"]]
    assert (erasure["by"], erasure["requested_by"]) == ("subject", "the office")
    assert erasure["unreachable"] == [damaged.as_uri()]
    assert (
        erasure["counts"].items() >= {"archive": len(subjects_events), "blobs": 1, "datasets": 1, "catalog": 5}.items()
    )
    planned = json.loads(dry_run.out)
    assert planned.items() >= {"blobs": 1, "datasets": 1, "catalog": 5, topics.requests(TASK): 2}.items()
    for path in [*stored_files(platform), *dataset.iterdir()]:
        assert ZEBRA not in read_content(path), path
    assert "erased" in json.loads((dataset / "manifest.json").read_text())
    log = await read_log(platform)
    assert ZEBRA not in repr(log)
    assert erasure["erasure_id"] in repr(log)

    blobs = blob_store(platform)
    assert (blobs.exists(claims[ZEBRA]), blobs.exists(claims[OKAPI])) == (False, True)
    after = {event["position"]: event for event in read_archive(platform)}
    assert all(event == after[event["position"]] for event in before if ZEBRA not in event["all"])
    assert {event["data_uri"] for event in after.values()} >= {blobs.put(shared)}


async def test_after_an_erasure_the_archive_continues_where_it_was_and_the_catalog_can_be_rebuilt(
    platform: Settings,
) -> None:
    await publish_story(platform, OKAPI, WOMBAT, blob_store(platform).put(b"another"), b"abc", number=2)
    await wait_until_caught_up(platform)
    positions = [event["position"] for event in read_archive(platform)]
    assert len(positions) == len(set(positions))
    catalog = Catalog(platform.catalog_url)
    before = rebuild.digest_tables(catalog)
    await rebuild.rebuild(platform, catalog)
    assert rebuild.digest_tables(catalog) == before
    catalog.close()
    assert ZEBRA not in "".join(read_content(path) for path in stored_files(platform))


async def test_an_actor_is_erased_and_labels_are_aggregated_again_from_the_feedback_of_others(
    platform: Settings,
) -> None:
    id = prediction_id(TASK, OKAPI, "1")
    done = await erase(platform, DataSubject(actor=QUOKKA), "the office", lambda *_: None)
    assert done.event.by == "actor"
    await wait_until_caught_up(platform)
    assert all(QUOKKA not in read_content(path) for path in stored_files(platform))
    assert QUOKKA not in repr(await read_log(platform))
    events = [event for event in read_archive(platform) if event["position"][0] == topics.outcomes(TASK)]
    outcomes = [json.loads(event["data"]) for event in events if event["key"] == id.encode()]
    assert outcomes, "the feedback of the other actor counts"
    assert {(tuple(outcome["actors"]), outcome["feedback"]) for outcome in outcomes} == {((WOMBAT,), 1)}


async def test_an_erasure_that_is_interrupted_anywhere_is_completed_by_repeating_it(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, delete_rows = DataSubject(subject=OKAPI), deletion.delete_rows
    for interrupted in topics.archived_topics([TASK]):

        def fail(settings: Settings, topic: str, positions: Any, interrupted: str = interrupted) -> int:
            if topic == interrupted:
                raise OSError("the storage is unavailable")
            return delete_rows(settings, topic, positions)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="unavailable"):
            patch.setattr(deletion, "delete_rows", fail)
            await erase(platform, subject, "the office", lambda *_: None)
    await erase(platform, subject, "the office", lambda *_: None)
    stored = "".join(read_content(path) for path in stored_files(platform)) + repr(await read_log(platform))
    for text in (OKAPI, WOMBAT, prediction_id(TASK, OKAPI, "1"), prediction_id(TASK, OKAPI, "2")):
        assert text not in stored
    done = await erase(platform, subject, "the office", lambda *_: None)
    assert set(done.event.counts.values()) == {0}


async def test_an_erasure_names_the_consumer_group_that_does_not_read(
    platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "STALLED_SECONDS", 0.5)
    await publish(platform, topics.requests(TASK), [OutgoingRecord(b"abc")])
    with pytest.raises(SetupError, match=r"1 events of letters\.requests wait for hindsight-preprocess"):
        await erase(platform, DataSubject(subject=ZEBRA), "the office", lambda *_: None)


async def hindsight(settings: Settings, *words: str) -> CommandResult:
    return await run_command(settings, "hindsight", *words)


async def publish_story(
    settings: Settings, subject: str, actor: str, claim: str, payload: bytes, number: int = 1
) -> None:
    """Publish two requests of a subject and all events that follow, and commit for the groups that do not run here."""
    id, request_id, name = prediction_id(TASK, subject, str(number)), str(number), subject.encode()
    attributes = [("ce_id", request_id.encode()), ("ce_source", name)]
    claim_check = json.dumps({"uri": claim}).encode()
    requests = [OutgoingRecord(claim_check, name, attributes), OutgoingRecord(payload, None, [("ce_subject", name)])]
    _, letter = build_dead_letter(
        Record(topics.requests(TASK), name, claim_check, ()),
        Origin(TopicId(f"{subject}/{actor}"), topics.requests(TASK), 0, number, 0),
        Failure(stage="preprocess", code="bad", reason=f"{subject} is refused"),
        (subject, str(number)),
    )
    features = [("ce_id", id.encode()), ("ce_source", b"preprocess")]
    prediction = make_prediction(id, request_id, {"sum": 1.0, "of": subject})
    feedback = FeedbackGiven(prediction_id=id, actor=actor, correction={"sum": 2.0, "said by": actor})
    await publish(settings, topics.requests(TASK), requests)
    await publish(settings, topics.features(TASK), [OutgoingRecord(name, None, features)])
    shadow = prediction.model_copy(update={"prediction_id": f"{id}:2", "role": "shadow"})
    for topic, data in ((topics.predictions(TASK), prediction), (topics.shadow_predictions(TASK), shadow)):
        await publish(settings, topic, [to_record(data, data.prediction_id, requestsource=subject)])
    await publish(settings, topics.feedback(TASK), [to_record(feedback, f"{subject} {actor} {number}")])
    await publish(settings, topics.DEAD_LETTERS, [OutgoingRecord(letter.value, letter.key, letter.headers)])
    for group, topic in (("hindsight-preprocess", topics.requests(TASK)), ("hindsight-worker", topics.features(TASK))):
        await commit_ends(settings, group, topic)


def to_record(data: EventData, id: str, **extensions: str) -> OutgoingRecord:
    record = data.to_record("", b"key", id=id, source="test", time=TIME, extensions=extensions)
    return OutgoingRecord(record.value, record.key, record.headers)


async def commit_ends(settings: Settings, group: str, topic: str) -> None:
    """Commit the end offsets of a topic for a group, as if it had read the topic."""
    consumer = clients.create_consumer(settings, group_id=group)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


def read_archive(settings: Settings) -> list[dict[str, Any]]:
    """Return every event in the archive, with its position, and all of it as text."""
    events = []
    for topic in topics.archived_topics([TASK]):
        if (table := Archive(settings).table(topic)) is not None:
            for row in table.to_pyarrow_dataset().to_table().to_pylist():
                position = (topic, row["epoch"], row["partition"], row["offset"])
                # Some events belong to the subject by the prediction's id only.
                text = repr(row).replace(prediction_id(TASK, ZEBRA, "1"), ZEBRA)
                events.append(row | {"position": position, "all": text})
    return events


def stored_files(settings: Settings) -> Sequence[Path]:
    """Return all files of the storage and of the catalog."""
    database = Path(str(make_url(settings.catalog_url).database))
    files = [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]
    return [*files, *database.parent.glob(f"{database.name}*")]


def read_content(path: Path) -> str:
    """Return the content of a file as text: for Parquet its bytes, metadata and rows."""
    text = path.read_bytes().decode(errors="replace")
    if path.suffix != ".parquet":
        return text
    return text + repr(pq.read_metadata(path).to_dict()) + repr(pq.ParquetFile(path).read().to_pylist())


async def read_log(settings: Settings) -> list[Any]:
    """Return all records of this deployment's topics in Kafka."""
    names = [topic.name for topic in topics.required_topics(settings)]
    present = await reader.fetch_offset_ranges(settings, names)
    ranges = {partition: (offsets.begin, offsets.end) for partition, offsets in present.items()}
    topic_ids = {partition.topic: offsets.topic_id for partition, offsets in present.items()}
    return [record async for batch in reader.read_ranges(settings, ranges, topic_ids) for record in batch]
