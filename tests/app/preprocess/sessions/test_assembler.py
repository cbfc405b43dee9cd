import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import Headers, Origin, Record, TopicId
from app.events.ids import prediction_id
from app.preprocess.preprocessor import Preprocessor
from app.preprocess.sessions.assembler import SessionAssembler, assemble_chunks, session_limits
from app.preprocess.sessions.session import LiveSession
from app.settings import Settings
from models.base import Rejected
from tests.support.tasks import Letters

REQUESTS = "letters.requests"


class InMemorySessionStore:
    """The state of one session, in memory."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.chunks: dict[int, bytes] = {}

    def load(self) -> LiveSession | None:
        return None if self.text is None else LiveSession.from_json(self.text)

    def save(self, session: LiveSession) -> None:
        self.text = session.to_json()

    def put(self, sequence: int, payload: bytes) -> None:
        self.chunks[sequence] = payload

    def get(self, sequence: int) -> bytes:
        return self.chunks[sequence]

    def clear(self) -> None:
        self.text, self.chunks = None, {}


class UnjoinableLetters(Letters):
    """A task that can't join chunks."""

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        raise Rejected("no_header", "there is no header")


def fetch(uri: str, limit: int) -> bytes:
    return {"blob://b": b"b"}[uri]


class SessionUnderTest:
    """The session `s` of the application `mic`. Chunk n comes in second n."""

    def __init__(self, task: Letters | None = None, **settings: Any) -> None:
        self.task = task or Letters()
        limits = session_limits(Settings(**({"session_partial_seconds": 0} | settings)), self.task)
        self.assembler = SessionAssembler(self.task.name, partial(assemble_chunks, self.task), fetch, limits)
        self.store = InMemorySessionStore()
        self.offset = 0

    def chunk(
        self, sequence: int | str, value: bytes | None, final: str = "false", headers: Headers = ()
    ) -> list[Record]:
        attributes = {"source": "mic", "session": "s", "sequence": str(sequence), "final": final}
        attributes |= {"id": f"c{sequence}", "time": "2026-01-31T12:00:00Z", "subject": "till 3"}
        all_headers = (*((f"ce_{name}", text.encode()) for name, text in attributes.items()), *headers)
        self.offset += 1
        origin = Origin(TopicId("c/t"), REQUESTS, 0, self.offset, 1000 * self.offset)
        return list(self.assembler.on_chunk(origin, b"key", value, all_headers, self.store, 1000 * self.offset))

    def time(self, seconds: float) -> list[Record]:
        return list(self.assembler.on_time("mic", "s", self.store, round(seconds * 1000)))


def texts(record: Record) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


def code(record: Record) -> str:
    return str(json.loads(record.value or b"")["error"]["code"])


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_chunks_become_one_request_in_their_order(order: list[int], repeated: list[int]) -> None:
    session, letters = SessionUnderTest(), b"abcdef"
    records = []
    for number in [*order, *repeated]:
        records += session.chunk(number, letters[number : number + 1], "true" if number == 5 else "false")
    [request] = records
    assert (request.topic, request.key, request.value) == (REQUESTS, b"key", letters)
    headers = texts(request)
    assert (headers["ce_id"], headers["ce_source"], headers["ce_subject"]) == ("s", "mic", "till 3")
    assert headers.keys().isdisjoint({"ce_session", "ce_sequence", "ce_partial", "ce_missing"})
    assert session.store.chunks == {}


def test_partial_requests_of_an_open_session_have_their_own_ids_and_their_features_are_marked() -> None:
    session = SessionUnderTest(session_partial_seconds=1)
    assert session.chunk(0, b"a") == []
    [partial] = session.chunk(1, b"b")
    assert (texts(partial)["ce_id"], texts(partial)["ce_partial"], partial.value) == ("s/1", "true", b"ab")
    [final] = session.chunk(2, None, "true")
    assert (texts(final)["ce_id"], final.value) == ("s", b"ab")
    origin = Origin(TopicId("c/t"), REQUESTS, 0, 9, 0)
    [features] = Preprocessor(Letters(), fetch, 100_000)(origin, partial.key, partial.value, partial.headers).records
    assert texts(features)["ce_id"] == prediction_id("letters", "mic", "s/1")
    assert texts(features)["ce_partial"] == "true"


def test_chunks_may_come_as_json_or_by_claim_check() -> None:
    session = SessionUnderTest()
    json_headers = (("content-type", b"application/json"),)
    session.chunk(0, b'{"data_base64": "YQ=="}', headers=json_headers)
    [request] = session.chunk(1, b'{"uri": "blob://b"}', "true", headers=json_headers)
    assert request.value == b"ab"
    assert texts(request)["content-type"] == "application/octet-stream"


def test_a_chunk_that_was_given_up_is_counted_as_missing_and_is_a_dead_letter_when_it_comes() -> None:
    session = SessionUnderTest()
    session.chunk(0, b"a")
    session.chunk(2, b"c", "true")
    assert session.time(6) == []
    [request] = session.time(7)
    assert (request.value, texts(request)["ce_missing"]) == (b"ac", "1")
    [letter] = session.chunk(1, b"b")
    assert (letter.value, texts(letter)["rejected_code"]) == (b"b", "late_chunk")
    assert session.time(60) == []
    assert session.store.text is not None
    assert session.time(700) == []
    assert session.store.text is None
    assert session.time(701) == []


def test_a_session_that_is_too_large_is_answered_and_its_chunks_are_removed() -> None:
    session = SessionUnderTest(session_bytes=3)
    session.chunk(0, b"ab")
    letter, answer = session.chunk(1, b"cd")
    failure = json.loads(answer.value or b"")
    assert (failure["request_id"], failure["error"]["code"]) == ("s", "session_too_large")
    assert failure["prediction_id"] == prediction_id("letters", "mic", "s")
    assert (letter.value, texts(letter)["rejected_id"]) == (b"cd", failure["dead_letter"])
    assert session.store.chunks == {}
    assert session.chunk(2, b"e", "true") == []


@pytest.mark.parametrize(
    ("sequence", "final", "headers"),
    [("-1", "false", ()), ("one", "false", ()), ("0", "yes", ()), ("0", "false", (("ce_session", b"x" * 201),))],
)
def test_a_chunk_with_invalid_headers_opens_no_session(sequence: str, final: str, headers: Headers) -> None:
    session = SessionUnderTest()
    letter, answer = session.chunk(sequence, b"a", final, headers)
    assert texts(letter)["rejected_code"] == code(answer) == "bad_chunk"
    assert session.store.text is None


def test_chunks_that_the_task_cant_join_fail_the_session() -> None:
    session = SessionUnderTest(UnjoinableLetters(), session_partial_seconds=1)
    assert session.chunk(0, b"a") == []
    assert session.chunk(1, b"b") == []
    letter, answer = session.chunk(2, b"c", "true")
    assert (code(answer), json.loads(answer.value or b"")["request_id"]) == ("no_header", "s")
    # The dead letter is a complete request when it is replayed.
    assert (letter.value, texts(letter)["ce_id"], "ce_session" in texts(letter)) == (b"abc", "s", False)
