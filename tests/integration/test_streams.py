"""Live sessions through real Kafka, Flink and MLServer: in order whatever comes how, and across a killed Flink."""

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


async def test_the_client_sends_chunks_as_they_come_and_hears_more_and_more(stack: Stack) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"a", b"b", b"c", b"d"):
            yield chunk
            await asyncio.sleep(1)

    async with Hindsight(stack.settings.bootstrap, source="mic") as hindsight:
        said = [one async for one in live_sessions.predictions(hindsight, "letters", chunks(), session="live")]
    *partials, whole = [one.request_id for one in said]
    assert whole == "live"
    assert partials
    assert partials == sorted(set(partials))
    assert said[-1].output["sum"] == sum(b"abcd")


async def test_the_client_says_why_a_session_can_not_be_sent(stack: Stack) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("the microphone is gone")

    async with Hindsight(stack.settings.bootstrap, source="mic") as hindsight:
        with pytest.raises(OSError, match="microphone"):
            async for _ in live_sessions.predictions(hindsight, "letters", broken()):
                pass


def unique(request: str) -> str:
    return prediction_id("letters", "mic", request)


async def behind(stack: Stack) -> int:
    """Records that the job has not committed yet."""
    groups = {PREPROCESS_GROUP: [REQUESTS]}
    return sum((await fetch_lags(stack.settings, [REQUESTS], groups))[PREPROCESS_GROUP].values())


async def answered(answers: TopicReader, request: str) -> dict[str, object]:
    """The answer to a request, with its marks."""
    read = await answers.read_until(
        lambda read: any(event_id(record) == unique(request) for record in read), seconds=240
    )
    first = next(record for record in read if event_id(record) == unique(request))
    said = json.loads(first.value)
    names = {name for name, _ in first.headers}
    said["missing"] = header_text(first, "ce_missing") if "ce_missing" in names else None
    said["partial"] = header_text(first, "ce_partial") if "ce_partial" in names else None
    return dict(said)


async def test_chunks_out_of_order_and_twice_are_one_request_with_partial_answers_before(stack: Stack) -> None:
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [chunk("a", 0, b"a")])
        await publish(stack.settings, REQUESTS, [chunk("a", 2, b"c")])
        await publish(stack.settings, REQUESTS, [chunk("a", 1, b"b"), chunk("a", 1, b"b")])
        partial = await answered(answers, "a/2")
        await publish(
            stack.settings, REQUESTS, [OutgoingRecord(b"a", b"a", [("ce_source", b"mic"), ("ce_id", b"plain")])]
        )
        await publish(stack.settings, REQUESTS, [chunk("a", 4, b"", final=True), chunk("a", 3, b"d")])
        whole, plain = await answered(answers, "a"), await answered(answers, "plain")
    assert (partial["partial"], partial["output"]) == ("true", {"sum": float(sum(b"abc"))})
    assert (whole["partial"], whole["missing"], whole["output"]) == (None, None, {"sum": float(sum(b"abcd"))})
    assert plain["output"] == {"sum": 97.0}
    known = {unique("a"), unique("plain"), *(unique(f"a/{number}") for number in range(5))}
    assert {event_id(record) for record in answers.records if header_text(record, "ce_requestsource") == "mic"} <= known


@pytest.mark.soak
async def test_a_session_survives_a_killed_flink_and_what_came_meanwhile_is_part_of_it(stack: Stack) -> None:
    checkpoints = stack.settings.home / "preprocess" / "checkpoints" / "letters"
    async with open_topic_reader(stack.settings, PREDICTIONS) as answers:
        await publish(stack.settings, REQUESTS, [chunk("k", 0, b"k")])
        await publish(stack.settings, REQUESTS, [chunk("k", 1, b"l")])
        await answered(answers, "k/1")
        # Nobody reads them again now: the checkpoint alone knows them.
        async with asyncio.timeout(60):
            while await behind(stack):
                await asyncio.sleep(0.2)
        assert latest_checkpoint(checkpoints) is not None
        stack.kill("preprocess")
        await publish(stack.settings, REQUESTS, [chunk("k", 3, b"n", final=True), chunk("k", 2, b"m")])
        whole = await answered(answers, "k")
    assert (whole["missing"], whole["output"]) == (None, {"sum": float(sum(b"klmn"))})


async def test_a_chunk_that_never_comes_is_given_up_and_one_that_comes_late_is_a_dead_letter(stack: Stack) -> None:
    async with (
        open_topic_reader(stack.settings, PREDICTIONS) as answers,
        open_topic_reader(stack.settings, topics.DEAD_LETTERS) as letters,
    ):
        await publish(stack.settings, REQUESTS, [chunk("m", 0, b"m"), chunk("m", 2, b"o", final=True)])
        await publish(stack.settings, REQUESTS, [chunk("x", 0, b"x"), chunk("x", 20_000, b"y")])
        failed, whole = await answered(answers, "x"), await answered(answers, "m")
        await publish(stack.settings, REQUESTS, [chunk("m", 1, b"n")])
        codes = {"session_too_many_chunks", "late_chunk"}
        await letters.read_until(lambda read: codes <= {header_text(letter, "rejected_code") for letter in read})
    assert (whole["missing"], whole["output"]) == ("1", {"sum": float(sum(b"mo"))})
    assert isinstance(failed["error"], dict)
    assert failed["error"]["code"] == "session_too_many_chunks"
