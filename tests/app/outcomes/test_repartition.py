import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId, header_text
from app.events.types import Failure, PredictionMade
from app.monitoring import metrics
from app.outcomes.repartition import Repartitioner, build_reward_timeout, repartition, restore_original
from app.streams.delivery import HandlerResult
from models.base import Rejected
from tests.support.fake_inference import make_failure
from tests.support.sum_task import (
    SumTask,
    as_consumed,
    consumed_record,
    make_correction,
    make_feedback,
    make_served_prediction,
    prediction_id_of,
)

JOINS = Repartitioner(SumTask())


def feedback(value: bytes, *headers: tuple[str, bytes]) -> ConsumedRecord:
    return ConsumedRecord(Origin(TopicId("c/t"), "letters.feedback", 1, 7, 1000), b"key", value, headers)


def only(answers: Sequence[HandlerResult]) -> Record:
    """The one record of the one answer."""
    [answer] = answers
    assert isinstance(answer, Sequence)
    [record] = answer
    return record


def given_as(**what: Any) -> ConsumedRecord:
    [event] = as_consumed([make_feedback(1, **what)])
    return event


async def test_predictions_and_feedback_go_on_under_the_predictions_id_as_they_were() -> None:
    prediction, given = as_consumed([make_served_prediction(), make_feedback(1, **make_correction(2))])
    for answers, event in (
        (await JOINS.repartition_predictions([prediction]), prediction),
        (await JOINS.repartition_feedback([given]), given),
    ):
        record = only(answers)
        assert (record.topic, record.key, record.value) == ("letters.joins", prediction_id_of().encode(), event.value)
        assert record.headers[: len(event.headers)] == event.headers


async def test_feedback_is_counted_by_what_it_says_and_only_if_it_can_be_used() -> None:
    def counts() -> dict[str, float]:
        kinds = ("correction", "reward", "accepted")
        return {kind: metrics.FEEDBACK.labels("letters", kind)._value.get() for kind in kinds}

    before = counts()
    good = (
        b'{"task": "letters", "request_id": "1", "request_source": "app", "reward": 1, "accepted": true, "actor": "a"}'
    )
    await JOINS.repartition_feedback([feedback(good), feedback(good.replace(b"letters", b"other"))])
    assert {kind: count - before[kind] for kind, count in counts().items()} == {
        "correction": 0,
        "reward": 1,
        "accepted": 1,
    }


async def test_what_needs_no_join_goes_no_further() -> None:
    [shadow] = as_consumed([make_served_prediction(role="shadow")])
    refused = make_failure(prediction_id_of(), "1", "bad").to_record(
        "letters.predictions", None, id="1", source="s", time="2026-01-01T00:00:00Z"
    )
    assert await JOINS.repartition_predictions([shadow, consumed_record(refused)]) == [[], ()]


async def test_feedback_by_the_applications_own_id_goes_to_the_same_prediction() -> None:
    value = b'{"task": "letters", "request_id": "1", "request_source": "app", "reward": 1, "actor": "shop"}'
    record = only(await JOINS.repartition_feedback([feedback(value)]))
    assert record.key == prediction_id_of().encode()


async def test_an_application_may_name_its_feedback_as_it_likes() -> None:
    value = b'{"task": "letters", "request_id": "1", "accepted": true, "actor": "shop"}'
    record = only(await JOINS.repartition_feedback([feedback(value, ("ce_type", b"shop.clicked"))]))
    assert record.value == value


OTHER = b'{"task": "ocr", "request_id": "1", "reward": 1, "actor": "shop"}'
REFUSED = b'{"task": "letters", "request_id": "1", "correction": {"text": "a"}, "actor": "shop"}'


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        (feedback(b"good"), "bad_data", "Invalid JSON"),
        (feedback(b'{"reward": 2, "actor": "shop"}'), "bad_data", "reward"),
        (feedback(OTHER), "wrong_task", "'ocr'"),
        (feedback(REFUSED), "bad_correction", "has no sum"),
        (feedback(REFUSED, ("ce_type", PredictionMade.type.encode())), "bad_headers", "this topic carries"),
    ],
    ids=["no JSON", "no reward", "another task", "refused", "another type"],
)
async def test_feedback_that_cannot_be_used_is_rejected_with_the_reason(
    event: ConsumedRecord, code: str, reason: str
) -> None:
    good = given_as(accepted=True)
    first, error, last = await JOINS.repartition_feedback([good, event, good])
    assert isinstance(error, Rejected)
    assert error.code == code
    assert reason in str(error)
    assert first == last == [repartition(good, "letters", prediction_id_of())]


@pytest.mark.parametrize("changes", [{"task": "ocr"}, {"confidence": 2.0}], ids=str)
async def test_a_prediction_that_is_none_is_rejected(changes: dict[str, Any]) -> None:
    [answer] = await JOINS.repartition_predictions(as_consumed([make_served_prediction(**changes)]))
    assert isinstance(answer, Rejected)


def test_a_rejection_is_a_dead_letter_that_nobody_waits_for() -> None:
    event = feedback(REFUSED, ("ce_id", b"17"), ("ce_source", b"shop"))
    [letter] = JOINS.reject(event, Failure(stage="feedback", code="bad_correction", reason="has no sum"))
    assert (letter.topic, letter.key, letter.value) == ("dead-letters", b"key", REFUSED)
    said = {
        name: header_text(letter.headers, f"rejected_{name}")
        for name in ("stage", "reason", "event_source", "event_id")
    }
    assert said == {"stage": "feedback", "reason": "has no sum", "event_source": "shop", "event_id": "17"}


HEADERS = st.lists(st.tuples(st.sampled_from(["ce_id", "joined_offset", "other"]), st.binary()), max_size=5).map(tuple)


@given(st.binary() | st.none(), HEADERS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_record_that_was_repartitioned_comes_back_whole(
    value: bytes | None, headers: Headers, offset: int, logged: int
) -> None:
    event = ConsumedRecord(Origin(TopicId("c/t"), "letters.feedback", 3, offset, logged), b"own key", value, headers)
    moved = consumed_record(repartition(event, "letters", prediction_id_of()), offset=5)
    assert restore_original(moved) == dataclasses.replace(event, key=prediction_id_of().encode())


def test_a_reminder_has_no_record_behind_it() -> None:
    assert restore_original(consumed_record(build_reward_timeout("letters", prediction_id_of()))) is None


@pytest.mark.parametrize("headers", [(), (("joined_epoch", b"c/t"),), (("ce_id", b"1"),) * 5], ids=str)
def test_a_record_from_nowhere_is_rejected(headers: Headers) -> None:
    with pytest.raises(Rejected, match="headers don't end with joined_epoch"):
        restore_original(ConsumedRecord(Origin(TopicId("c/t"), "letters.joins", 0, 0, 0), b"key", b"value", headers))


@pytest.mark.parametrize("mark", [("ce_replay", b"1"), ("ce_partial", b"true")])
async def test_history_that_is_published_again_and_what_a_session_says_while_it_runs_is_not_joined(
    mark: tuple[str, bytes],
) -> None:
    prediction, given = as_consumed([make_served_prediction(), make_feedback(1, **make_correction(2))])
    again = [dataclasses.replace(event, headers=(*event.headers, mark)) for event in (prediction, given)]
    assert await JOINS.repartition_predictions(again[:1]) == await JOINS.repartition_feedback(again[1:]) == [()]
