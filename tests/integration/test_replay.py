"""Replay on the real stack, from Kafka and the archive, by the command and over HTTP."""

import asyncio
import io
import json
import random
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from aiokafka.admin import NewTopic
from pydantic import SecretStr

from app.embedded.api_readiness import api_url
from app.eventlog import compaction
from app.eventlog.archive import Archive
from app.events import topics
from app.events.cloudevents import format_rfc3339
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven
from app.kafka import clients
from app.kafka.connection import ConnectionSecurity
from app.settings import Settings
from models import tensors
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads
from tests.support.archive import wait_until_archived
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.request_history import ce_time
from tests.support.stack import Stack
from tests.support.tasks import Letters, LettersAnew

REWARD_COLUMNS = ["reward", "reward_defaulted", "selection", "selection_probability"]
SAMPLES = make_payloads(40, seed=77)


async def replay_source(settings: Settings, out: Path, task: str, source: str, *more: str) -> dict[str, Any]:
    """Replay the requests of a source into a dataset; return its manifest."""
    where = f"request_source = '{source}'"
    done = await run_command(
        settings, "hindsight", "replay", task, "--out", str(out), "--where", where, "--json", *more
    )
    assert done.code == 0, done.err
    manifest: dict[str, Any] = json.loads(done.out)
    assert json.loads((out / "manifest.json").read_text()) == manifest
    return manifest


def cluster_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings by which another machine connects to the broker."""
    login = ConnectionSecurity.from_settings(settings)
    return {
        "kafka_bootstrap": settings.platform_bootstrap,
        "single_host": True,
        "kafka_security_protocol": login.protocol,
        "kafka_sasl_mechanism": login.mechanism,
        "kafka_sasl_username": login.username,
        "kafka_sasl_password": SecretStr(str(login.password)),
    }


def file_names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def serve_payloads(settings: Settings, task: str, source: str, payloads: list[bytes]) -> list[str]:
    """Publish payloads as requests and wait for their answers; return the prediction ids."""
    ids = [f"{number:03}" for number in range(len(payloads))]
    async with open_topic_reader(settings, topics.predictions(task)) as answers:
        requests = [
            OutgoingRecord(
                payload,
                id.encode(),
                [("ce_id", id.encode()), ("ce_source", source.encode()), ("ce_time", ce_time(int(id)).encode())],
            )
            for payload, id in zip(payloads, ids, strict=True)
        ]
        await publish(settings, topics.requests(task), requests)
        await answers.read_answers(len(payloads))
    return [prediction_id(task, source, id) for id in ids]


async def test_a_dataset_is_the_same_before_and_after_archiving_and_compaction_and_elsewhere(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MAX_SMALL_FILES", 0)
    settings = stack.settings
    predictions = await serve_payloads(settings, "ocr", "replay-1", [sample.payload for sample in SAMPLES])
    feedback = [
        FeedbackGiven(prediction_id=id, correction=sample.correction, actor="ada").to_record(
            topics.feedback("ocr"), id.encode(), id=id, source="test", time=format_rfc3339(time.time() * 1000)
        )
        for id, sample in zip(predictions[:10], SAMPLES, strict=False)
    ]
    outgoing = [OutgoingRecord(record.value, record.key, record.headers) for record in feedback]
    await publish(settings, topics.feedback("ocr"), outgoing)
    fresh = await replay_source(settings, tmp_path / "fresh", "ocr", "replay-1")
    as_of = ("--as-of", fresh["arguments"]["as_of"])

    names = [kind("ocr") for kind in (topics.requests, topics.features, topics.predictions, topics.feedback)]
    await wait_until_archived(settings, *names)
    archived = await replay_source(settings, tmp_path / "archived", "ocr", "replay-1", *as_of)
    for name in names:
        table = Archive(settings).table(name)
        assert table is not None
        assert compaction.compact(table, datetime.now(UTC) + timedelta(minutes=5)) >= 1
    compacted = await replay_source(settings, tmp_path / "compacted", "ocr", "replay-1", *as_of)
    changes = {
        "home": tmp_path / "elsewhere",
        "blob_url": settings.blob_store_url,
        "database_url": "postgresql://nowhere",
    }
    elsewhere = settings.model_copy(update=changes | cluster_settings(settings))
    other = await replay_source(elsewhere, tmp_path / "other", "ocr", "replay-1", *as_of)
    manifests = (fresh, archived, compacted, other)
    assert {manifest["content_hash"] for manifest in manifests} == {fresh["content_hash"]}
    assert pq.read_table(tmp_path / "other" / "rows.parquet").equals(pq.read_table(tmp_path / "fresh" / "rows.parquet"))

    rows = pq.read_table(tmp_path / "compacted" / "rows.parquet").to_pylist()
    rows_by_id = {row["prediction_id"]: row for row in rows}
    assert rows_by_id.keys() == set(predictions)
    for id, sample in zip(predictions, SAMPLES, strict=True):
        features = tensors.decode(rows_by_id[id]["features"], rows_by_id[id]["tensors"])
        expected = Ocr().preprocess(sample.payload)
        assert {name: tensor.tobytes() for name, tensor in features.items()} == {
            name: tensor.tobytes() for name, tensor in expected.items()
        }
    labelled = [row for row in rows if row["label"] is not None]
    assert len(labelled) == 10
    assert all(row["score"] == Ocr().score(json.loads(row["output"]), json.loads(row["label"])) for row in labelled)
    async with open_topic_reader(settings, topics.LIFECYCLE, from_beginning=True) as lifecycle:
        await lifecycle.read_until(
            lambda records: sum(fresh["content_hash"].encode() in (record.value or b"") for record in records) >= 4
        )


async def test_over_http_a_dataset_is_the_same_as_by_the_command(stack: Stack, tmp_path: Path) -> None:
    await serve_payloads(stack.settings, "letters", "replay-http", [b"abc", b"abd"])
    body = {"task": "letters", "from": ce_time(0), "to": ce_time(100)}
    async with httpx.AsyncClient(base_url=api_url(stack.settings), trust_env=False) as http:
        job = (await http.post("/v1/replays", json=body)).json()
        async with asyncio.timeout(120):
            while job["state"] in ("waiting", "running"):
                await asyncio.sleep(0.2)
                job = (await http.get(f"/v1/replays/{job['id']}")).json()
        assert job["state"] == "done", job["reason"]
        download = io.BytesIO((await http.get(f"/v1/replays/{job['id']}/download")).content)
    options = ("--from", ce_time(0), "--to", ce_time(100), "--as-of", job["as_of"])
    done = await run_command(stack.settings, "hindsight", "replay", "letters", "--out", str(tmp_path / "out"), *options)
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["content_hash"], manifest["rows"]) == (job["content_hash"], job["rows"])
    with zipfile.ZipFile(download) as archive:
        rows = pq.read_table(io.BytesIO(archive.read(f"letters-{job['id']}/rows.parquet"))).to_pylist()
    assert len([row for row in rows if row["request_source"] == "replay-http"]) == 2


async def test_features_of_an_earlier_preprocessing_are_computed_again_from_the_payloads(
    stack: Stack, tmp_path: Path
) -> None:
    payloads = [random.Random(number).randbytes(9).hex().encode() for number in range(30)]
    predictions = await serve_payloads(stack.settings, "letters", "replay-2", payloads)
    before = await replay_source(stack.settings, tmp_path / "before", "letters", "replay-2")
    assert before["arguments"]["preprocess_version"] == "1"
    changed = stack.settings.model_copy(update={"tasks": {"letters": "tests.support.tasks:LettersAnew"}})
    after = await replay_source(changed, tmp_path / "after", "letters", "replay-2")
    assert after["arguments"]["preprocess_version"] == "2"
    assert after["content_hash"] != before["content_hash"]
    assert after["counts"]["features"]["rows"] == 0
    for manifest, task in ((before, Letters()), (after, LettersAnew())):
        name = "before" if manifest is before else "after"
        rows = pq.read_table(tmp_path / name / "rows.parquet").to_pylist()
        features = {
            row["prediction_id"]: tensors.decode(row["features"], row["tensors"])["letters"].tobytes() for row in rows
        }
        expected = [task.preprocess(payload)["letters"].tobytes() for payload in payloads]
        assert features == dict(zip(predictions, expected, strict=True))


async def test_history_is_republished_unchanged_and_marked(stack: Stack, tmp_path: Path) -> None:
    settings = stack.settings
    payloads = [f"again {number}".encode() for number in range(20)]
    predictions = await serve_payloads(settings, "letters", "replay-3", payloads)
    admin = clients.create_admin(settings)
    await admin.start()
    await admin.create_topics([NewTopic("rehearsal", 1, 1)])
    await admin.close()
    command = ("replay", "letters", "--where", "request_source = 'replay-3'", "--speed", "inf")

    dry_run = await run_command(settings, "hindsight", *command, "--to-topic", "rehearsal", "--dry-run")
    assert dry_run.code == 0, dry_run.err
    assert dry_run.out.splitlines()[0] == "20 requests go to rehearsal, in 0:00:01."
    async with open_topic_reader(settings, "rehearsal") as rehearsal:
        done = await run_command(settings, "hindsight", *command, "--to-topic", "rehearsal", "--yes", "--rate", "1000")
        assert done.out.splitlines()[-1] == "20 requests were published", done.err
        records = await rehearsal.read_until(lambda records: len(records) >= 20)
    assert [record.value for record in records] == payloads
    assert [event_id(record) for record in records] == [f"{number:03}" for number in range(20)]
    assert len({header_text(record, "ce_replay") for record in records}) == 1

    before = await replay_source(settings, tmp_path / "before", "letters", "replay-3")
    async with open_topic_reader(settings, topics.predictions("letters")) as answers:
        await run_command(settings, "hindsight", *command, "--to-topic", "letters.requests", "--yes")
        answers_by_id = await answers.read_answers(20)
        assert answers_by_id.keys() == set(predictions)
        assert all("ce_replay" in dict(record.headers) for record in answers.records)
    after = await replay_source(settings, tmp_path / "after", "letters", "replay-3")
    # The reward windows may have ended in between.
    first, last = (pq.read_table(tmp_path / name / "rows.parquet").drop(REWARD_COLUMNS) for name in ("before", "after"))
    assert last.equals(first)
    assert before["rows"] == 20
    assert all(count["skipped"]["replay"] >= 20 for kind, count in after["counts"].items() if kind != "feedback")

    missing = await run_command(settings, "hindsight", *command, "--to-topic", "nowhere", "--yes")
    assert missing.code == 1
    assert "There is no topic 'nowhere'" in missing.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--as-of", "2999-01-01"], "is in the future"),
        (["--from", "some day"], "is not a valid time"),
        (["--where", "colour = 'red'"], "is not a valid condition"),
        (["--content", "pictures"], "is not known"),
    ],
)
async def test_wrong_arguments_are_refused_and_leave_nothing(
    stack: Stack, tmp_path: Path, arguments: list[str], message: str
) -> None:
    command = ("replay", "letters", "--out", str(tmp_path / "out"))
    done = await run_command(stack.settings, "hindsight", *command, *arguments)
    assert (done.code, file_names(tmp_path)) == (1, [])
    assert message in done.err
