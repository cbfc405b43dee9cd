import dataclasses
import uuid
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import Event, Origin, TopicId, complete_event, event_identity, header_text
from models.base import Rejected

EVENT_TYPE = "hindsight.prediction.requested.v1"
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
    topic_id=st.builds(lambda cluster, topic: TopicId(f"{cluster}/{topic}"), st.from_regex(r"[\w-]{4}"), st.uuids()),
    topic=st.from_regex(r"[a-zA-Z0-9._-]{1,5}", fullmatch=True),
    partition=st.integers(0, 300),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.just(0),
)


def complete(**headers: bytes | None) -> Event:
    """Return the event of a record with these headers; `content_type` stands for content-type."""
    named = [(name.replace("content_type", "content-type"), value) for name, value in headers.items()]
    return complete_event(named, b"data", ORIGIN, EVENT_TYPE)


def rejection_reason(**headers: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        complete(**headers)
    assert caught.value.code == "bad_headers"
    return str(caught.value)


@given(
    st.builds(
        Event,
        id=names,
        type=names.filter(lambda event_type: not event_type.startswith("hindsight.")) | st.just(EVENT_TYPE),
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
    assert complete_event(event.to_headers(), event.data, ORIGIN, EVENT_TYPE) == event


def test_a_bare_payload_is_an_event() -> None:
    event = complete_event((), b"data", ORIGIN, EVENT_TYPE)
    assert event == Event(
        id=ORIGIN.id, type=EVENT_TYPE, source="kafka:letters.requests", time="2026-01-31T12:00:00.123Z", data=b"data"
    )


def test_attributes_without_a_value_are_filled_in() -> None:
    assert complete(ce_id=None, ce_time=None, ce_source=None) == complete_event((), b"data", ORIGIN, EVENT_TYPE)


def test_a_filled_in_id_is_the_same_under_redelivery() -> None:
    assert complete().id == complete().id == dataclasses.replace(ORIGIN, timestamp_ms=0).id


@pytest.mark.parametrize(
    "difference",
    [{"topic_id": TopicId(f"cluster/{uuid.UUID(int=2)}")}, {"partition": 3}, {"offset": 8}, {"topic": "ocr.requests"}],
    ids="-".join,
)
def test_a_filled_in_id_differs_between_records(difference: dict[str, Any]) -> None:
    assert dataclasses.replace(ORIGIN, **difference).id != ORIGIN.id


@given(origins, origins)
def test_no_two_records_share_a_filled_in_id(first: Origin, second: Origin) -> None:
    assert (first.id == second.id) == (first == second)


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
        ({"ce_type": b"hindsight.prediction.made.v1"}, f"this topic carries '{EVENT_TYPE}'"),
        ({"ce_type": b"hindsight.prediction.requested"}, f"this topic carries '{EVENT_TYPE}'"),
        ({"ce_type": b"hindsight.prediction.requested.v0"}, f"this topic carries '{EVENT_TYPE}'"),
    ],
)
def test_headers_that_break_the_specification_are_rejected_by_name(headers: dict[str, bytes], reason: str) -> None:
    assert reason in rejection_reason(**headers)


@given(st.dictionaries(st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_time", "ce_x", "other"]), st.binary()))
def test_headers_are_read_or_rejected(headers: dict[str, bytes]) -> None:
    try:
        event = complete_event(headers.items(), b"", ORIGIN, EVENT_TYPE)
    except Rejected as error:
        assert error.code == "bad_headers"
    else:
        assert complete_event(event.to_headers(), b"", ORIGIN, EVENT_TYPE) == event


@pytest.mark.parametrize("subject", ["Screenshot 9.41\u202fAM.png", "日本\u3000語", "👩\u200d🔬", "\ue000"])
def test_text_that_is_not_printable_is_accepted(subject: str) -> None:
    assert complete(ce_subject=subject.encode()).subject == subject


def test_unknown_headers_are_ignored() -> None:
    assert complete(x_mine=b"\xff\x00", ce_NotAnExtension=b"1", **{"ce_" + "x" * 21: b"1"}) == complete()


def test_an_application_may_name_types_of_its_own() -> None:
    assert complete(ce_type=b"com.example.scanned").type == "com.example.scanned"


def test_an_older_version_of_the_topics_type_keeps_its_version() -> None:
    event = complete_event([("ce_type", EVENT_TYPE.encode())], b"data", ORIGIN, EVENT_TYPE.replace(".v1", ".v12"))
    assert event.type == EVENT_TYPE


def test_a_newer_version_is_rejected_with_the_remedy() -> None:
    with pytest.raises(Rejected, match=r"prediction\.requested\.v2 is newer .* reads v1: upgrade Hindsight") as caught:
        complete(ce_type=EVENT_TYPE.replace(".v1", ".v2").encode())
    assert caught.value.code == "newer_version"


def test_the_last_of_repeated_headers_counts() -> None:
    assert complete_event([("ce_id", b"1"), ("ce_id", b"2")], b"", ORIGIN, EVENT_TYPE).id == "2"


def test_a_long_declaration_of_tensors_is_accepted() -> None:
    assert len(complete(ce_tensors=b"t" * 10_000).extensions["tensors"]) == 10_000


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ({"ce_id": b"1", "ce_source": b"app", "ce_time": b"never"}, ("app", "1")),
        ({"ce_id": b"\xff", "ce_source": b"app"}, ("app", ORIGIN.id)),
        ({"ce_id": b"1", "ce_source": b""}, ("kafka:letters.requests", "1")),
        ({"ce_subject": b"\x00"}, ("kafka:letters.requests", ORIGIN.id)),
    ],
)
def test_rejected_headers_still_identify_the_event(headers: dict[str, bytes], identity: tuple[str, str]) -> None:
    rejection_reason(**headers)
    assert event_identity(headers.items(), ORIGIN) == identity


def test_a_header_is_looked_up_in_pairs_and_in_maps() -> None:
    assert header_text([("a", b"1"), ("a", b"2")], "a") == header_text({"a": b"2"}, "a") == "2"
    assert header_text([], "a") is None
    assert header_text({"a": b"\xff"}, "a") == "\ufffd"
