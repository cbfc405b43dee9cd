"""Retractions of feedback in the aggregation of outcomes."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import build_outcome, outcome_id
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.settings import TaskSettings
from tests.support.sum_outcomes import LATER, NO_AUDIT, RULES, outcome_of, try_outcome
from tests.support.sum_task import (
    SumTask,
    feedback_lists,
    make_correction,
    make_feedback,
    make_retraction,
    make_served_prediction,
    minutes_after_start,
    redeliver,
)

FIRST, SECOND = make_feedback(1, **make_correction(2)), make_feedback(2, **make_correction(3))


def outcome_without(retracted: Sequence[FeedbackEvent], *events: FeedbackEvent, **by: Any) -> OutcomeRecorded:
    """Return the outcome of feedback of which some events are retracted."""
    retractions = tuple(make_retraction(event, **by).retraction for event in retracted)
    outcome = build_outcome(
        SumTask(), NO_AUDIT, PredictionHistory(make_served_prediction(), events, retractions), LATER
    )
    assert outcome is not None
    return outcome


def test_a_retraction_withdraws_its_own_event_only() -> None:
    assert outcome_without([FIRST], FIRST, SECOND).label == {"sum": 3.0}
    assert outcome_without([FIRST, SECOND], FIRST, SECOND).label is None


def test_after_a_retraction_of_the_last_event_the_one_before_counts_again() -> None:
    outcome = outcome_without([SECOND], FIRST, SECOND)
    assert (outcome.label, outcome.feedback, outcome.retracted) == ({"sum": 2.0}, 1, 1)
    assert outcome_id(outcome) != outcome_id(outcome_of(FIRST))  # a consumer that has seen that one must see this one


def test_only_the_actor_of_feedback_can_retract_it() -> None:
    assert outcome_without([FIRST], FIRST, actor="bob").label == {"sum": 2.0}


def test_a_retraction_that_names_the_source_leaves_equal_ids_of_other_sources() -> None:
    assert outcome_without([FIRST], FIRST, source="elsewhere").label == {"sum": 2.0}
    assert outcome_without([FIRST], FIRST, source=FIRST.source).label is None


def test_a_repeated_identity_of_another_actor_does_not_count_after_a_retraction() -> None:
    repeated = dataclasses.replace(
        make_feedback(1, "bob", id=FIRST.id, **make_correction(5)), logged=FIRST.logged + timedelta(hours=1)
    )
    assert outcome_without([FIRST], repeated, FIRST).label is None


@given(feedback_lists(), RULES, st.integers(0, 30), st.data())
def test_retracted_feedback_counts_as_if_it_was_never_given(
    events: list[FeedbackEvent], rules: TaskSettings, minutes: int, data: st.DataObject
) -> None:
    """In any order, with any repetition of feedback and retractions."""
    chosen = data.draw(st.sets(st.sampled_from([event.id for event in events]))) if events else set()
    retracted = [event for event in events if event.id in chosen]
    delivered = data.draw(st.permutations([*events, *redeliver(retracted)]))
    retractions = data.draw(st.permutations([make_retraction(event).retraction for event in retracted * 2]))
    history = PredictionHistory(make_served_prediction(), tuple(delivered), tuple(retractions))
    as_of = minutes_after_start(minutes)
    outcome = build_outcome(SumTask(), rules, history, as_of)
    remaining = [event for event in events if event not in retracted]
    expected = try_outcome(*remaining, rules=rules, as_of=as_of)
    if outcome is None:
        assert (expected, retracted) == (None, [])
        return
    assert outcome.retracted == len(retracted)
    said_nothing = {"label": None, "actors": (), "accepted": None, "reward": None, "score": None, "feedback": 0}
    if expected is None:
        assert said_nothing.items() <= outcome.model_dump().items()
    else:
        assert outcome.model_copy(update={"retracted": 0}) == expected
