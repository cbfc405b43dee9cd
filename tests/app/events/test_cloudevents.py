import dataclasses
import uuid
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import Event, Origin, TopicId, complete_event, event_identity, header_text
from models.base import Rejected

KIND = "hindsight.prediction.requested.v1"
ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)

text = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
times = st.datetimes(datetime(3, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()).map(
    lambda moment: moment.astimezone().isoformat()
)
extensions = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
        lambda name: name not in {"specversion", "id", "type", "source", "subject", "time"}
    ),
    text,
    max_size=3,
)
origins = st.builds(
    Origin,
    epoch=st.builds(lambda cluster, topic: TopicId(f"{cluster}/{topic}"), st.from_regex(r"[\w-]{4}"), st.uuids()),
    topic=st.from_regex(r"[a-zA-Z0-9._-]{1,5}", fullmatch=True),
    partition=st.integers(0, 300),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.just(0),
)


def completed(**headers: bytes | None) -> Event:
    """The event of a record with these headers; `content_type` stands for content-type."""
    named = [(name.replace("content_type", "content-type"), value) for name, value in headers.items()]
    return complete_event(named, b"data", ORIGIN, KIND)


def refusal(**headers: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        completed(**headers)
    assert caught.value.code == "bad_headers"
    return str(caught.value)


@given(
    st.builds(
        Event,
        id=names,
        type=names.filter(lambda kind: not kind.startswith("hindsight.")) | st.just(KIND),
        source=names,
        time=times,
        data=st.binary(max_size=20),
        subject=st.none() | text,
        content_type=st.none() | text,
        traceparent=st.none() | text,
        extensions=extensions,
    )
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert complete_event(event.to_headers(), event.data, ORIGIN, KIND) == event


def test_a_bare_payload_is_an_event() -> None:
    event = complete_event((), b"data", ORIGIN, KIND)
    assert event == Event(
        id=ORIGIN.id, type=KIND, source="kafka:letters.requests", time="2026-01-31T12:00:00.123Z", data=b"data"
    )


def test_attributes_without_a_value_are_filled_in() -> None:
    assert completed(ce_id=None, ce_time=None, ce_source=None) == complete_event((), b"data", ORIGIN, KIND)


def test_a_missing_id_is_the_same_under_redelivery() -> None:
    assert completed().id == completed().id == dataclasses.replace(ORIGIN, timestamp_ms=0).id


@pytest.mark.parametrize(
    "elsewhere",
    [{"epoch": TopicId(f"cluster/{uuid.UUID(int=2)}")}, {"partition": 3}, {"offset": 8}, {"topic": "ocr.requests"}],
    ids="-".join,
)
def test_a_missing_id_is_another_one_for_another_record(elsewhere: dict[str, Any]) -> None:
    assert dataclasses.replace(ORIGIN, **elsewhere).id != ORIGIN.id


@given(origins, origins)
def test_no_two_records_share_a_missing_id(one: Origin, other: Origin) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"ce_id": b"\xff"}, "header 'ce_id' is not UTF-8 text"),
        ({"traceparent": b"\xc3"}, "header 'traceparent' is not UTF-8 text"),
        ({"ce_subject": b"a\nb"}, "header 'ce_subject' has control characters"),
        ({"ce_mine": b"\x00"}, "header 'ce_mine' has control characters"),
        ({"content_type": b"a\x7f"}, "header 'content-type' has control characters"),
        ({"ce_source": b"s" * 513}, "header 'ce_source' has 513 characters; at most 512"),
        ({"ce_id": b""}, "ce_id is empty"),
        ({"ce_source": b""}, "ce_source is empty"),
        ({"ce_type": b""}, "ce_type is empty"),
        ({"ce_specversion": b"0.3"}, "ce_specversion is '0.3'; this platform reads '1.0'"),
        ({"ce_time": b"2026-01-31T12:00:00"}, "ce_time is '2026-01-31T12:00:00', without a time zone"),
        ({"ce_time": b"yesterday"}, "ce_time is 'yesterday'; RFC 3339 is needed"),
        ({"ce_time": b"0001-01-01T00:00:00+14:00"}, "a year from 2 to 9998 is needed"),
        ({"ce_time": b"9999-12-31T23:59:59-14:00"}, "a year from 2 to 9998 is needed"),
        ({f"x{n}": b"" for n in range(257)}, "257 headers of 918 bytes; at most 256 of 65,536"),
        ({"x_mine": bytes(65_536)}, "1 headers of 65,542 bytes; at most 256 of 65,536"),
        ({"ce_time": b""}, "ce_time is ''; RFC 3339 is needed"),
        ({"ce_type": b"hindsight.prediction.made.v1"}, f"this topic carries '{KIND}'"),
        ({"ce_type": b"hindsight.prediction.requested"}, f"this topic carries '{KIND}'"),
        ({"ce_type": b"hindsight.prediction.requested.v0"}, f"this topic carries '{KIND}'"),
    ],
)
def test_headers_that_break_the_specification_are_refused_by_name(headers: dict[str, bytes], reason: str) -> None:
    assert reason in refusal(**headers)


@given(st.dictionaries(st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_time", "ce_x", "other"]), st.binary()))
def test_headers_are_read_or_refused(headers: dict[str, bytes]) -> None:
    try:
        event = complete_event(headers.items(), b"", ORIGIN, KIND)
    except Rejected as error:
        assert error.code == "bad_headers"
    else:
        assert complete_event(event.to_headers(), b"", ORIGIN, KIND) == event


@pytest.mark.parametrize("subject", ["Screenshot 9.41\u202fAM.png", "日本\u3000語", "👩\u200d🔬", "\ue000"])
def test_text_that_is_not_printable_is_text(subject: str) -> None:
    assert completed(ce_subject=subject.encode()).subject == subject


def test_what_is_not_ours_is_ignored() -> None:
    assert completed(x_mine=b"\xff\x00", ce_NotAnExtension=b"1", **{"ce_" + "x" * 21: b"1"}) == completed()


def test_an_application_may_name_types_of_its_own() -> None:
    assert completed(ce_type=b"com.example.scanned").type == "com.example.scanned"


def test_an_older_version_of_the_topics_type_is_read_as_what_it_is() -> None:
    event = complete_event([("ce_type", KIND.encode())], b"data", ORIGIN, KIND.replace(".v1", ".v12"))
    assert event.type == KIND


def test_a_version_from_the_future_is_refused_with_the_remedy() -> None:
    with pytest.raises(Rejected, match=r"prediction\.requested\.v2 is newer .* reads v1: upgrade Hindsight") as caught:
        completed(ce_type=KIND.replace(".v1", ".v2").encode())
    assert caught.value.code == "newer_version"


def test_of_a_repeated_header_the_last_counts() -> None:
    assert complete_event([("ce_id", b"1"), ("ce_id", b"2")], b"", ORIGIN, KIND).id == "2"


def test_a_long_declaration_of_tensors_is_taken() -> None:
    assert len(completed(ce_tensors=b"t" * 10_000).extensions["tensors"]) == 10_000


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"ce_id": b"1", "ce_source": b"app", "ce_time": b"never"}, ("app", "1")),
        ({"ce_id": b"\xff", "ce_source": b"app"}, ("app", ORIGIN.id)),
        ({"ce_id": b"1", "ce_source": b""}, ("kafka:letters.requests", "1")),
        ({"ce_subject": b"\x00"}, ("kafka:letters.requests", ORIGIN.id)),
    ],
)
def test_refused_headers_still_tell_the_identity_they_hold(headers: dict[str, bytes], known: tuple[str, str]) -> None:
    refusal(**headers)
    assert event_identity(headers.items(), ORIGIN) == known


def test_a_header_is_looked_up_in_pairs_and_in_maps() -> None:
    assert header_text([("a", b"1"), ("a", b"2")], "a") == header_text({"a": b"2"}, "a") == "2"
    assert header_text([], "a") is None
    assert header_text({"a": b"\xff"}, "a") == "\ufffd"
