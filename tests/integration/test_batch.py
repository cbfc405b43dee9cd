"""Batch mode: the same preprocessing and the same model as live traffic, recorded as events."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.events import topics
from app.storage.blob_store import blob_store
from models.small.ocr.data.lines import make_payloads
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("ocr"), topics.predictions("ocr")


async def test_a_batch_predicts_the_same_as_live_traffic_and_is_in_the_log(stack: Stack, tmp_path: Path) -> None:
    samples = make_payloads(40, seed=21)
    scans = tmp_path / "scans"
    (scans / "more").mkdir(parents=True)
    for number, sample in enumerate(samples):
        (scans / "more" / f"{number:02}.png").write_bytes(sample.payload)
    (scans / "letter.txt").write_text("Dear Sir or Madam,")
    (scans / "labels.csv").write_text("file,text")
    (scans / ".hidden").write_text("not for reading")
    blob = blob_store(stack.settings).put(samples[0].payload)
    out = tmp_path / "out.parquet"

    async with (
        open_topic_reader(stack.settings, REQUESTS) as requests,
        open_topic_reader(stack.settings, PREDICTIONS) as predictions,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        words = ("batch", "ocr", str(scans), str(scans / "letter.txt"), blob, "--out", str(out))
        done = await run_command(stack.settings, "hindsight", *words)
        logged_requests = await requests.read_until(lambda records: len(records) >= 42)
        answers = await predictions.read_answers(42)
        [letter] = await letters.read_until(bool)

    assert (done.code, done.out) == (1, f"{out}: 41 predicted, 1 failed\n"), done.err
    assert "left out 2 of another kind" in done.err
    rows = {row["uri"]: row for row in pq.read_table(out).to_pylist()}
    assert {row["prediction_id"] for row in rows.values()} == answers.keys()
    assert rows[(scans / "letter.txt").as_uri()]["error_code"] == "not_an_image"
    assert header_text(letter, "rejected_code") == "not_an_image"
    assert all("ce_batch" in dict(record.headers) for record in logged_requests)
    assert rows[blob]["output"] == rows[(scans / "more" / "00.png").as_uri()]["output"]

    async with open_topic_reader(stack.settings, PREDICTIONS) as live:
        live_requests = [
            OutgoingRecord(sample.payload, headers=[("ce_id", str(number).encode()), ("ce_source", b"as a batch")])
            for number, sample in enumerate(samples)
        ]
        await publish(stack.settings, REQUESTS, live_requests)
        await live.read_until(lambda records: len({event_id(record) for record in records}) >= 40)
    for record in live.records:
        prediction = json.loads(record.value)
        row = rows[(scans / "more" / f"{int(prediction['request_id']):02}.png").as_uri()]
        assert json.loads(row["output"]) == prediction["output"]
        assert abs(row["confidence"] - prediction["confidence"]) < 1e-4


@pytest.mark.soak
async def test_a_batch_without_the_log_leaves_no_event(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    (tmp_path / "one.png").write_bytes(make_payloads(1, seed=22)[0].payload)
    async with open_topic_reader(stack.settings, REQUESTS, PREDICTIONS) as log:
        words = ("batch", "ocr", str(tmp_path / "one.png"), "--out", str(out), "--no-log")
        done = await run_command(stack.settings, "hindsight", *words)
        await publish(stack.settings, REQUESTS, [OutgoingRecord(b"marker")])
        records = await log.read_until(lambda records: any(record.topic == PREDICTIONS for record in records))
    assert done.out == f"{out}: 1 predicted, 0 failed\n", done.err
    assert [record.value for record in records if record.topic == REQUESTS] == [b"marker"]
