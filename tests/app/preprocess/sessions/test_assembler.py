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
from app.preprocess.sessions.assembler import SessionAssembler, assemble_chunks, session_key, session_limits
from app.preprocess.sessions.session import LiveSession
from app.settings import Settings
from models.base import Rejected
from tests.support.tasks import Letters

REQUESTS = "letters.requests"


class Kept:
    """What Flink keeps, in memory."""

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

    def forget(self) -> None:
        self.text, self.chunks = None, {}


class Refuses(Letters):
    """Can't join chunks."""

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        raise Rejected("no_header", "there is no header")


def fetch(uri: str, limit: int) -> bytes:
    return {"blob://b": b"b"}[uri]


class Sessions:
    """One session `s` of the application `mic`, whose chunks come one after the other."""

    def __init__(self, task: Letters | None = None, **settings: Any) -> None:
        self.task = task or Letters()
        known = Settings(**({"session_partial_seconds": 0} | settings))
        self.assembler = SessionAssembler(
            self.task.name, partial(assemble_chunks, self.task), fetch, session_limits(known, self.task)
        )
        self.kept = Kept()
        self.offset = 0

    def chunk(
        self, sequence: int | str, value: bytes | None, final: str = "false", headers: Headers = ()
    ) -> list[Record]:
        said = {"source": "mic", "session": "s", "sequence": str(sequence), "final": final}
        said |= {"id": f"c{sequence}", "time": "2026-01-31T12:00:00Z", "subject": "till 3"}
        mine = (*((f"ce_{name}", text.encode()) for name, text in said.items()), *headers)
        self.offset += 1
        origin = Origin(TopicId("c/t"), REQUESTS, 0, self.offset, 1000 * self.offset)
        return list(self.assembler.on_chunk(origin, b"key", value, mine, self.kept, 1000 * self.offset))

    def time(self, seconds: float) -> list[Record]:
        return list(self.assembler.on_time("mic", "s", self.kept, round(seconds * 1000)))


def texts(record: Record) -> Mapping[str, str]:
    return {name: value.decode() for name, value in record.headers}


def code(record: Record) -> str:
    return str(json.loads(record.value or b"")["error"]["code"])


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_chunks_are_one_request_in_their_order(order: list[int], again: list[int]) -> None:
    sessions, letters = Sessions(), b"abcdef"
    records = []
    for number in [*order, *again]:
        records += sessions.chunk(number, letters[number : number + 1], "true" if number == 5 else "false")
    [request] = records
    assert (request.topic, request.key, request.value) == (REQUESTS, b"key", letters)
    said = texts(request)
    assert (said["ce_id"], said["ce_source"], said["ce_subject"]) == ("s", "mic", "till 3")
    assert said.keys().isdisjoint({"ce_session", "ce_sequence", "ce_partial", "ce_missing"})
    assert sessions.kept.chunks == {}


def test_while_it_runs_partial_requests_have_ids_of_their_own_and_their_mark_is_kept() -> None:
    sessions = Sessions(session_partial_seconds=1)
    assert sessions.chunk(0, b"a") == []
    [partial] = sessions.chunk(1, b"b")
    assert (texts(partial)["ce_id"], texts(partial)["ce_partial"], partial.value) == ("s/1", "true", b"ab")
    [whole] = sessions.chunk(2, None, "true")
    assert (texts(whole)["ce_id"], whole.value) == ("s", b"ab")
    origin = Origin(TopicId("c/t"), REQUESTS, 0, 9, 0)
    [features] = Preprocessor(Letters(), fetch, 100_000)(origin, partial.key, partial.value, partial.headers).records
    assert texts(features)["ce_id"] == prediction_id("letters", "mic", "s/1")
    assert texts(features)["ce_partial"] == "true"


def test_chunks_may_come_as_json_or_by_claim_check() -> None:
    sessions = Sessions()
    typed = (("content-type", b"application/json"),)
    sessions.chunk(0, b'{"data_base64": "YQ=="}', headers=typed)
    [request] = sessions.chunk(1, b'{"uri": "blob://b"}', "true", headers=typed)
    assert request.value == b"ab"
    assert texts(request)["content-type"] == "application/octet-stream"


def test_what_was_given_up_is_said_and_comes_late_as_a_dead_letter() -> None:
    sessions = Sessions()
    sessions.chunk(0, b"a")
    sessions.chunk(2, b"c", "true")
    assert sessions.time(6) == []
    [request] = sessions.time(7)
    assert (request.value, texts(request)["ce_missing"]) == (b"ac", "1")
    [letter] = sessions.chunk(1, b"b")
    assert (letter.value, texts(letter)["rejected_code"]) == (b"b", "late_chunk")
    assert sessions.time(60) == []
    assert sessions.kept.text is not None
    assert sessions.time(700) == []
    assert sessions.kept.text is None
    assert sessions.time(701) == []


def test_a_session_that_is_too_large_is_answered_and_its_state_is_gone() -> None:
    sessions = Sessions(session_bytes=3)
    sessions.chunk(0, b"ab")
    letter, answer = sessions.chunk(1, b"cd")
    said = json.loads(answer.value or b"")
    assert (said["request_id"], said["error"]["code"]) == ("s", "session_too_large")
    assert said["prediction_id"] == prediction_id("letters", "mic", "s")
    assert (letter.value, texts(letter)["rejected_id"]) == (b"cd", said["dead_letter"])
    assert sessions.kept.chunks == {}
    assert sessions.chunk(2, b"e", "true") == []


@pytest.mark.parametrize(
    ("sequence", "final", "headers"),
    [("-1", "false", ()), ("one", "false", ()), ("0", "yes", ()), ("0", "false", (("ce_session", b"x" * 201),))],
)
def test_a_chunk_without_its_place_is_refused_alone(sequence: str, final: str, headers: Headers) -> None:
    sessions = Sessions()
    letter, answer = sessions.chunk(sequence, b"a", final, headers)
    assert texts(letter)["rejected_code"] == code(answer) == "bad_chunk"
    assert sessions.kept.text is None


def test_chunks_that_the_task_cant_join_fail_the_session() -> None:
    sessions = Sessions(Refuses(), session_partial_seconds=1)
    assert sessions.chunk(0, b"a") == []
    assert sessions.chunk(1, b"b") == []
    letter, answer = sessions.chunk(2, b"c", "true")
    assert (code(answer), json.loads(answer.value or b"")["request_id"]) == ("no_header", "s")
    # Sent again, it is a whole request.
    assert (letter.value, texts(letter)["ce_id"], "ce_session" in texts(letter)) == (b"abc", "s", False)


def test_a_session_has_one_key_and_no_other_has_it() -> None:
    headers = {"ce_session": b"s", "ce_source": b"mic"}
    keys = {
        session_key(REQUESTS, headers),
        session_key("ocr.requests", headers),
        session_key(REQUESTS, headers | {"ce_source": b"other"}),
        session_key(REQUESTS, {"ce_session": b"s"}),
        session_key(REQUESTS, headers | {"ce_session": b"\xff"}),
    }
    assert len(keys) == 5
    assert session_key(REQUESTS, headers | {"ce_sequence": b"1"}) in keys
    assert session_key(REQUESTS, {"ce_session": b"s", "ce_source": None}) in keys
