"""Live sessions on real Kafka, Flink and MLServer: chunks in any order, and a killed Flink."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from app.client import Hindsight, live_sessions
from app.events import topics
from app.events.ids import prediction_id
from app.kafka.lag import PREPROCESS_GROUP, fetch_lags
from app.preprocess.sessions.checkpoints import latest_checkpoint
from tests.support.kafka_clients import OutgoingRecord, TopicReader, event_id, header_text, open_topic_reader, publish
from tests.support.stack import Stack

REQUESTS, PREDICTIONS = topics.requests("letters"), topics.predictions("letters")


def chunk(session: str, sequence: int, value: bytes, final: bool = False) -> OutgoingRecord:
    headers = [("ce_source", b"mic"), ("ce_session", session.encode()), ("ce_sequence", str(sequence).encode())]
    return OutgoingRecord(value, session.encode(), [*headers, *([("ce_final", b"true")] if final else [])])


async def test_the_client_sends_chunks_as_they_come_and_receives_partial_predictions(stack: Stack) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for value in (b"a", b"b", b"c", b"d"):
            yield value
            await asyncio.sleep(1)

    async with Hindsight(stack.settings.bootstrap, source="mic") as hindsight:
        predictions = [
            prediction async for prediction in live_sessions.predictions(hindsight, "letters", chunks(), session="live")
        ]
    *partial_ids, final_id = [prediction.request_id for prediction in predictions]
    assert final_id == "live"
    assert partial_ids
    assert partial_ids == sorted(set(partial_ids))
    assert predictions[-1].output["sum"] == sum(b"abcd")


async def test_an_error_of_the_source_ends_a_session_of_the_client(stack: Stack) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("the microphone is gone")

    async with Hindsight(stack.settings.bootstrap, source="mic") as hindsight:
        with pytest.raises(OSError, match="microphone"):
            async for _ in live_sessions.predictions(hindsight, "letters", broken()):
                pass


def prediction_id_of(request: str) -> str:
    return prediction_id("letters", "mic", request)


async def fetch_lag(stack: Stack) -> int:
    """Return the number of records that the job has not committed."""
    groups = {PREPROCESS_GROUP: [REQUESTS]}
    return sum((await fetch_lags(stack.settings, [REQUESTS], groups))[PREPROCESS_GROUP].values())


async def wait_for_answer(answers: TopicReader, request: str) -> dict[str, object]:
    """Return the first answer to a request, with its extensions `missing` and `partial`."""
    id = prediction_id_of(request)
    records = await answers.read_until(lambda records: any(event_id(record) == id for record in records), seconds=240)
    record = next(record for record in records if event_id(record) == id)
    names = {name for name, _ in record.headers}
    extensions = {
        name: header_text(record, f"ce_{name}") if f"ce_{name}" in names else None for name in ("missing", "partial")
    }
    return {**json.loads(record.value), **extensions}


async def test_chunks_out_of_order_and_repeated_are_one_request_with_partial_answers_before(stack: Stack) -> None:
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [chunk("a", 0, b"a")])
        await publish(stack.settings, REQUESTS, [chunk("a", 2, b"c")])
        await publish(stack.settings, REQUESTS, [chunk("a", 1, b"b"), chunk("a", 1, b"b")])
        partial = await wait_for_answer(answers, "a/2")
        await publish(
            stack.settings, REQUESTS, [OutgoingRecord(b"a", b"a", [("ce_source", b"mic"), ("ce_id", b"plain")])]
        )
        await publish(stack.settings, REQUESTS, [chunk("a", 4, b"", final=True), chunk("a", 3, b"d")])
        whole, plain = await wait_for_answer(answers, "a"), await wait_for_answer(answers, "plain")
    assert (partial["partial"], partial["output"]) == ("true", {"sum": float(sum(b"abc"))})
    assert (whole["partial"], whole["missing"], whole["output"]) == (None, None, {"sum": float(sum(b"abcd"))})
    assert plain["output"] == {"sum": 97.0}
    expected = {prediction_id_of(request) for request in ("a", "plain", *(f"a/{number}" for number in range(5)))}
    from_mic = [record for record in answers.records if header_text(record, "ce_requestsource") == "mic"]
    assert {event_id(record) for record in from_mic} <= expected


@pytest.mark.soak
async def test_a_session_survives_a_kill_of_flink_with_the_chunks_that_come_meanwhile(stack: Stack) -> None:
    checkpoints = stack.settings.home / "preprocess" / "checkpoints" / "letters"
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [chunk("k", 0, b"k")])
        await publish(stack.settings, REQUESTS, [chunk("k", 1, b"l")])
        await wait_for_answer(answers, "k/1")
        # Once they are committed, only the checkpoint has them.
        async with asyncio.timeout(60):
            while await fetch_lag(stack):
                await asyncio.sleep(0.2)
        assert latest_checkpoint(checkpoints) is not None
        stack.kill("preprocess")
        await publish(stack.settings, REQUESTS, [chunk("k", 3, b"n", final=True), chunk("k", 2, b"m")])
        whole = await wait_for_answer(answers, "k")
    assert (whole["missing"], whole["output"]) == (None, {"sum": float(sum(b"klmn"))})


async def test_a_session_ends_without_a_missing_chunk_and_a_late_chunk_is_a_dead_letter(stack: Stack) -> None:
    async with (
        open_topic_reader(stack.settings, PREDICTIONS) as answers,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, REQUESTS, [chunk("m", 0, b"m"), chunk("m", 2, b"o", final=True)])
        await publish(stack.settings, REQUESTS, [chunk("x", 0, b"x"), chunk("x", 20_000, b"y")])
        failed, whole = await wait_for_answer(answers, "x"), await wait_for_answer(answers, "m")
        await publish(stack.settings, REQUESTS, [chunk("m", 1, b"n")])
        codes = {"session_too_many_chunks", "late_chunk"}
        await letters.read_until(lambda records: codes <= {header_text(letter, "rejected_code") for letter in records})
    assert (whole["missing"], whole["output"]) == ("1", {"sum": float(sum(b"mo"))})
    assert isinstance(failed["error"], dict)
    assert failed["error"]["code"] == "session_too_many_chunks"
