import dataclasses
import json
import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.events import cloudevents
from app.events.answers import build_dead_letter
from app.events.cloudevents import Origin, Record, TopicId
from app.events.types import Failure

ORIGIN = Origin(TopicId(f"cluster/{uuid.UUID(int=1)}"), "letters.requests", 2, 7, 1_769_860_800_123)


def dead_letter(origin: Origin = ORIGIN, stage: str = "preprocess", reason: str = "it is bad") -> tuple[str, Record]:
    record = Record(origin.topic, b"key", b"\x00value", (("ce_id", b"1"), ("mine", b"\xff"), ("mine", b"2")))
    return build_dead_letter(record, origin, Failure(stage=stage, code="bad", reason=reason), ("app", "1"))


def test_a_dead_letter_is_the_record_and_the_failure() -> None:
    dead_letter_id, dead_record = dead_letter()
    assert (dead_record.topic, dead_record.key, dead_record.value) == ("dead-letters", b"key", b"\x00value")
    assert dead_record.headers[:3] == (("ce_id", b"1"), ("mine", b"\xff"), ("mine", b"2"))
    assert {name: value.decode() for name, value in dead_record.headers[3:]} == {
        "rejected_type": "hindsight.event.rejected.v1",
        "rejected_id": dead_letter_id,
        "rejected_stage": "preprocess",
        "rejected_code": "bad",
        "rejected_reason": "it is bad",
        "rejected_topic": "letters.requests",
        "rejected_partition": "2",
        "rejected_offset": "7",
        "rejected_event_source": "app",
        "rejected_event_id": "1",
    }


def test_a_record_without_key_and_value_has_a_dead_letter() -> None:
    record = Record("letters.requests", None, None, ())
    _, dead_record = build_dead_letter(record, ORIGIN, Failure(stage="s", code="c", reason="r"), ("app", "1"))
    assert (dead_record.key, dead_record.value) == (None, None)


def test_a_record_rejected_again_at_its_stage_has_the_same_dead_letter_id() -> None:
    assert dead_letter()[0] == dead_letter(reason="another")[0]
    assert dead_letter()[0] != dead_letter(stage="inference")[0]
    assert dead_letter()[0] != dead_letter(dataclasses.replace(ORIGIN, offset=8))[0]


def test_a_dead_letter_rejected_again_has_the_last_reason() -> None:
    _, first_letter = dead_letter()
    _, second_letter = build_dead_letter(
        first_letter, ORIGIN, Failure(stage="s", code="c", reason="again"), ("app", "1")
    )
    assert cloudevents.header_text(second_letter.headers, "rejected_reason") == "again"


@given(st.text() | st.text(st.characters(categories=["Cs"])))
def test_a_failure_with_any_reason_can_be_written(reason: str) -> None:
    failure = Failure(stage="s", code="c", reason=reason)
    assert json.loads(failure.model_dump_json())["reason"] == failure.reason
    assert dead_letter(reason=reason)[1].headers
