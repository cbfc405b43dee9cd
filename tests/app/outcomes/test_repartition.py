import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId, header_text
from app.events.types import Failure, FeedbackGiven, FeedbackRetracted, PredictionMade
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

REPARTITIONER = Repartitioner(SumTask())


def feedback(value: bytes, *headers: tuple[str, bytes]) -> ConsumedRecord:
    return ConsumedRecord(Origin(TopicId("c/t"), "letters.feedback", 1, 7, 1000), b"key", value, headers)


def single_record(answers: Sequence[HandlerResult]) -> Record:
    """Return the only record of the only answer."""
    [answer] = answers
    assert isinstance(answer, Sequence)
    [record] = answer
    return record


def feedback_event(**fields: Any) -> ConsumedRecord:
    [event] = as_consumed([make_feedback(1, **fields)])
    return event


async def test_predictions_and_feedback_are_repartitioned_unchanged() -> None:
    prediction, feedback_event = as_consumed([make_served_prediction(), make_feedback(1, **make_correction(2))])
    for answers, event in (
        (await REPARTITIONER.repartition_predictions([prediction]), prediction),
        (await REPARTITIONER.repartition_feedback([feedback_event]), feedback_event),
    ):
        record = single_record(answers)
        assert (record.topic, record.key, record.value) == ("letters.joins", prediction_id_of().encode(), event.value)
        assert record.headers[: len(event.headers)] == event.headers


async def test_valid_feedback_is_counted_by_its_content() -> None:
    def counts() -> dict[str, float]:
        kinds = ("correction", "reward", "accepted", "retracts")
        return {kind: metrics.FEEDBACK.labels("letters", kind)._value.get() for kind in kinds}

    before = counts()
    valid = (
        b'{"task": "letters", "request_id": "1", "request_source": "app", "reward": 1, "accepted": true, "actor": "a"}'
    )
    await REPARTITIONER.repartition_feedback(
        [feedback(valid), feedback(valid.replace(b"letters", b"other")), feedback(RETRACTION)]
    )
    assert {kind: count - before[kind] for kind, count in counts().items()} == {
        "correction": 0,
        "reward": 1,
        "accepted": 1,
        "retracts": 1,
    }


async def test_shadows_and_requests_that_no_version_answered_are_not_joined() -> None:
    [shadow] = as_consumed([make_served_prediction(role="shadow")])
    failed = make_failure(prediction_id_of(), "1", "bad").to_record(
        "letters.predictions", None, id="1", source="s", time="2026-01-01T00:00:00Z"
    )
    assert await REPARTITIONER.repartition_predictions([shadow, consumed_record(failed)]) == [[], ()]


async def test_feedback_by_request_id_has_the_key_of_its_prediction() -> None:
    value = b'{"task": "letters", "request_id": "1", "request_source": "app", "reward": 1, "actor": "shop"}'
    record = single_record(await REPARTITIONER.repartition_feedback([feedback(value)]))
    assert record.key == prediction_id_of().encode()


async def test_feedback_may_have_an_event_type_of_the_application() -> None:
    value = b'{"task": "letters", "request_id": "1", "accepted": true, "actor": "shop"}'
    record = single_record(await REPARTITIONER.repartition_feedback([feedback(value, ("ce_type", b"shop.clicked"))]))
    assert record.value == value


RETRACTION = b'{"task": "letters", "request_id": "1", "request_source": "app", "retracts": "7", "actor": "shop"}'


@pytest.mark.parametrize(
    "headers", [(), (("ce_type", FeedbackRetracted.type.encode()),), (("ce_type", b"shop.undone"),)]
)
async def test_a_retraction_has_the_key_of_its_prediction(headers: Headers) -> None:
    """With its type, with a type of the application, or with none, as from a plain Kafka client."""
    record = single_record(await REPARTITIONER.repartition_feedback([feedback(RETRACTION, *headers)]))
    assert (record.key, record.value) == (prediction_id_of().encode(), RETRACTION)


OTHER_TASK = b'{"task": "ocr", "request_id": "1", "reward": 1, "actor": "shop"}'
INVALID_CORRECTION = b'{"task": "letters", "request_id": "1", "correction": {"text": "a"}, "actor": "shop"}'


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        (feedback(b"good"), "bad_data", "Invalid JSON"),
        (feedback(b'{"reward": 2, "actor": "shop"}'), "bad_data", "reward"),
        (feedback(OTHER_TASK), "wrong_task", "'ocr'"),
        (feedback(INVALID_CORRECTION), "bad_correction", "has no sum"),
        (feedback(RETRACTION.replace(b"letters", b"ocr")), "wrong_task", "'ocr'"),
        (feedback(b'{"retracts": "7", "actor": "shop"}'), "bad_data", "either prediction_id, or task and request_id"),
        (feedback(RETRACTION.replace(b'"7"', b'""')), "bad_data", "retracts: String should have at least 1 character"),
        (feedback(RETRACTION.replace(b'"7"', b'"7", "reward": 1')), "bad_data", "reward: Extra inputs"),
        (feedback(RETRACTION, ("ce_type", FeedbackGiven.type.encode())), "bad_data", "retracts: Extra inputs"),
        (feedback(INVALID_CORRECTION, ("ce_type", PredictionMade.type.encode())), "bad_headers", "this topic carries"),
    ],
    ids=[
        *("not JSON", "not a reward", "another task", "invalid correction"),
        *("another task's retraction", "no prediction", "no feedback", "retraction with content", "typed as feedback"),
        "another type",
    ],
)
async def test_invalid_feedback_is_rejected_with_the_reason(event: ConsumedRecord, code: str, reason: str) -> None:
    valid = feedback_event(accepted=True)
    first, error, last = await REPARTITIONER.repartition_feedback([valid, event, valid])
    assert isinstance(error, Rejected)
    assert error.code == code
    assert reason in str(error)
    assert first == last == [repartition(valid, "letters", prediction_id_of())]


@pytest.mark.parametrize("changes", [{"task": "ocr"}, {"confidence": 2.0}], ids=str)
async def test_an_invalid_prediction_is_rejected(changes: dict[str, Any]) -> None:
    [answer] = await REPARTITIONER.repartition_predictions(as_consumed([make_served_prediction(**changes)]))
    assert isinstance(answer, Rejected)


def test_a_rejection_makes_a_dead_letter_only() -> None:
    event = feedback(INVALID_CORRECTION, ("ce_id", b"17"), ("ce_source", b"shop"))
    [letter] = REPARTITIONER.reject(event, Failure(stage="feedback", code="bad_correction", reason="has no sum"))
    assert (letter.topic, letter.key, letter.value) == ("dead-letters", b"key", INVALID_CORRECTION)
    rejection = {
        name: header_text(letter.headers, f"rejected_{name}")
        for name in ("stage", "reason", "event_source", "event_id")
    }
    assert rejection == {"stage": "feedback", "reason": "has no sum", "event_source": "shop", "event_id": "17"}


HEADERS = st.lists(st.tuples(st.sampled_from(["ce_id", "joined_offset", "other"]), st.binary()), max_size=5).map(tuple)


@given(st.binary() | st.none(), HEADERS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_repartitioned_record_can_be_restored(
    value: bytes | None, headers: Headers, offset: int, logged: int
) -> None:
    event = ConsumedRecord(Origin(TopicId("c/t"), "letters.feedback", 3, offset, logged), b"own key", value, headers)
    repartitioned = consumed_record(repartition(event, "letters", prediction_id_of()), offset=5)
    assert restore_original(repartitioned) == event


def test_a_record_that_an_earlier_release_repartitioned_has_no_key() -> None:
    event = ConsumedRecord(Origin(TopicId("c/t"), "letters.feedback", 3, 0, 0), b"own key", b"{}", (("ce_id", b"1"),))
    repartitioned = repartition(event, "letters", prediction_id_of())
    headers = tuple(header for header in repartitioned.headers if header[0] != "joined_key")
    earlier = consumed_record(dataclasses.replace(repartitioned, headers=headers))
    assert restore_original(earlier) == dataclasses.replace(event, key=None)


def test_a_reward_timeout_has_no_original_record() -> None:
    assert restore_original(consumed_record(build_reward_timeout("letters", prediction_id_of()))) is None


@pytest.mark.parametrize("headers", [(), (("joined_epoch", b"c/t"),), (("ce_id", b"1"),) * 5], ids=str)
def test_a_record_without_its_origin_is_rejected(headers: Headers) -> None:
    with pytest.raises(Rejected, match="headers don't end with joined_epoch"):
        restore_original(ConsumedRecord(Origin(TopicId("c/t"), "letters.joins", 0, 0, 0), b"key", b"value", headers))


@pytest.mark.parametrize("mark", [("ce_replay", b"1"), ("ce_partial", b"true")])
async def test_republished_history_and_partial_answers_are_not_joined(
    mark: tuple[str, bytes],
) -> None:
    prediction, feedback_event = as_consumed([make_served_prediction(), make_feedback(1, **make_correction(2))])
    marked = [dataclasses.replace(event, headers=(*event.headers, mark)) for event in (prediction, feedback_event)]
    assert (
        await REPARTITIONER.repartition_predictions(marked[:1])
        == await REPARTITIONER.repartition_feedback(marked[1:])
        == [()]
    )
