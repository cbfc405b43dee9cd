import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.base import canonical_json
from app.events.cloudevents import header_text
from app.events.ids import prediction_id
from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import build_outcome, build_outcome_record, in_audit_sample, outcome_id
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.settings import TaskSettings
from tests.support.sum_outcomes import RULES, WINDOW, outcome_of, try_outcome
from tests.support.sum_task import (
    OUTPUT,
    SumTask,
    feedback_lists,
    make_correction,
    make_feedback,
    make_served_prediction,
    minutes_after_start,
    prediction_id_of,
    redeliver,
)


def test_an_outcome_has_the_fields_of_its_prediction() -> None:
    outcome, prediction = outcome_of(make_feedback(1, reward=1.0)), make_served_prediction().prediction
    names = ("prediction_id", "request_id", "task", "model", "role", "output", "confidence", "propensity")
    assert [getattr(outcome, name) for name in names] == [getattr(prediction, name) for name in names]
    assert outcome.request_source == "app"


def test_feedback_without_a_prediction_waits_for_it() -> None:
    assert (
        build_outcome(
            SumTask(),
            TaskSettings(audit_rate=1),
            PredictionHistory(None, (make_feedback(1, **make_correction(2)),)),
            minutes_after_start(60),
        )
        is None
    )


def test_a_prediction_without_feedback_has_no_outcome() -> None:
    assert try_outcome() is None
    assert try_outcome(rules=TaskSettings(full_feedback=True)) is None


def test_a_shadow_has_no_outcome() -> None:
    assert try_outcome(make_feedback(1, **make_correction(2)), rules=TaskSettings(audit_rate=1), role="shadow") is None
    assert try_outcome(make_feedback(1, **make_correction(2)), role="canary") is not None


def test_a_correction_is_the_label_and_the_output_is_scored_against_it() -> None:
    wrong, right = (
        outcome_of(make_feedback(1, **make_correction(2))),
        outcome_of(make_feedback(1, **make_correction(1))),
    )
    assert (wrong.label, wrong.score, wrong.actors, wrong.feedback) == ({"sum": 2.0}, 0.0, ("ada",), 1)
    assert (right.label, right.score, right.accepted) == (OUTPUT, 1.0, None)


def test_an_acceptance_makes_the_output_the_label() -> None:
    outcome = outcome_of(make_feedback(1, accepted=True))
    assert (outcome.label, outcome.score, outcome.accepted, outcome.actors) == (OUTPUT, 1.0, True, ("ada",))


def test_an_acceptance_agrees_with_a_correction_equal_to_the_output() -> None:
    outcome = outcome_of(make_feedback(1, "ada", accepted=True), make_feedback(2, "bob", correction={"sum": "1"}))
    assert (outcome.contradicted, outcome.actors, outcome.accepted) == (False, ("ada", "bob"), True)


def test_a_later_correction_by_the_same_actor_replaces_the_earlier() -> None:
    outcome = outcome_of(make_feedback(2, **make_correction(3)), make_feedback(1, **make_correction(2)))
    assert (outcome.label, outcome.contradicted, outcome.feedback) == ({"sum": 3.0}, False, 2)


def test_the_greater_id_counts_of_two_events_at_the_same_time() -> None:
    outcome = outcome_of(make_feedback(1, id="b", **make_correction(3)), make_feedback(1, id="a", **make_correction(2)))
    assert outcome.label == {"sum": 3.0}


def test_the_first_in_the_log_counts_of_two_events_with_one_identity() -> None:
    earlier, later = make_feedback(2, id="a", **make_correction(2)), make_feedback(1, id="a", **make_correction(3))
    assert outcome_of(earlier, dataclasses.replace(later, logged=minutes_after_start(3))).label == {"sum": 2.0}
    assert outcome_of(dataclasses.replace(earlier, logged=minutes_after_start(4)), later).label == {"sum": 3.0}


def test_a_rejection_withdraws_only_the_actors_own_label() -> None:
    single = outcome_of(make_feedback(1, **make_correction(2)), make_feedback(2, accepted=False))
    assert (single.label, single.score, single.accepted, single.actors) == (None, None, False, ())
    outcome = outcome_of(
        make_feedback(1, "ada", **make_correction(2)),
        make_feedback(1, "bob", **make_correction(3)),
        make_feedback(2, "ada", accepted=False),
    )
    assert (outcome.label, outcome.actors, outcome.contradicted) == ({"sum": 3.0}, ("bob",), False)


def test_a_rejection_with_a_correction_is_a_correction() -> None:
    outcome = outcome_of(make_feedback(1, accepted=False, **make_correction(2)))
    assert (outcome.label, outcome.accepted) == ({"sum": 2.0}, False)


CONTRADICTION = (
    make_feedback(1, "ada", **make_correction(2)),
    make_feedback(2, "bob", **make_correction(2)),
    make_feedback(3, "cleo", **make_correction(3)),
)


def test_the_label_is_that_of_the_majority_or_the_latest_actor() -> None:
    by_majority = outcome_of(*CONTRADICTION)
    by_latest = outcome_of(*CONTRADICTION, rules=TaskSettings(audit_rate=0, label_rule="latest"))
    assert (by_majority.label, by_majority.actors, by_majority.contradicted) == ({"sum": 2.0}, ("ada", "bob"), True)
    assert (by_latest.label, by_latest.actors, by_latest.contradicted) == ({"sum": 3.0}, ("cleo",), True)


def test_the_latest_label_wins_a_tie() -> None:
    assert outcome_of(*CONTRADICTION[1:]).label == {"sum": 3.0}


def test_the_latest_of_several_rewards_counts() -> None:
    assert (
        outcome_of(
            make_feedback(2, "bob", reward=0.5), make_feedback(1, reward=1.0), make_feedback(0, "cleo", reward=-1.0)
        ).reward
        == 0.5
    )
    assert outcome_of(make_feedback(2, "bob", reward=0.5), make_feedback(3, **make_correction(1))).reward == 0.5


def test_a_reward_is_not_a_label() -> None:
    outcome = outcome_of(make_feedback(1, reward=1.0))
    assert (outcome.label, outcome.score, outcome.actors, outcome.accepted) == (None, None, (), None)


def test_a_reward_counts_within_its_window_and_at_any_time_without_one() -> None:
    late = make_feedback(11, reward=1.0)
    assert outcome_of(late).reward == 1.0
    assert outcome_of(make_feedback(10, reward=1.0), rules=WINDOW).reward == 1.0
    assert (outcome_of(late, rules=WINDOW).reward, outcome_of(late, rules=WINDOW).reward_defaulted) == (
        -0.5,
        True,
    )


def test_a_missing_reward_is_the_default_once_the_window_has_ended() -> None:
    assert try_outcome(rules=WINDOW, as_of=minutes_after_start(10)) is None
    assert (
        outcome_of(make_feedback(1, **make_correction(2)), rules=WINDOW, as_of=minutes_after_start(10)).reward is None
    )
    ended = outcome_of(rules=WINDOW, as_of=minutes_after_start(10) + timedelta(microseconds=1))
    assert (ended.reward, ended.reward_defaulted, ended.feedback) == (-0.5, True, 0)


def test_a_reward_logged_late_replaces_the_default() -> None:
    outcome = outcome_of(make_feedback(9, reward=1.0), rules=WINDOW, as_of=minutes_after_start(10_000))
    assert (outcome.reward, outcome.reward_defaulted) == (1.0, False)


def test_an_outcome_has_its_selection_and_the_probability() -> None:
    outcome = outcome_of(make_feedback(1, accepted=True))
    assert (outcome.selection, outcome.selection_probability) == ("volunteer", None)
    outcome = outcome_of(make_feedback(1, accepted=True), rules=TaskSettings(full_feedback=True))
    assert (outcome.selection, outcome.selection_probability) == ("all", 1.0)
    request = next(str(number) for number in range(1000) if in_audit_sample(prediction_id_of(str(number)), 0.01))
    audited = try_outcome(rules=TaskSettings(audit_rate=0.01), request=request)
    assert audited is not None
    assert (audited.selection, audited.selection_probability, audited.label) == ("audit", 0.01, None)


IDS = [prediction_id("letters", "app", str(number)) for number in range(10_000)]


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_audit_sample_has_its_share(rate: float) -> None:
    assert sum(in_audit_sample(prediction, rate) for prediction in IDS) / len(IDS) == pytest.approx(rate, abs=0.01)


@given(st.sampled_from(IDS), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_keeps_the_audit_sample(prediction: str, first: float, second: float) -> None:
    assert in_audit_sample(prediction, min(first, second)) <= in_audit_sample(prediction, max(first, second))


@given(feedback_lists(), RULES, st.integers(0, 30), st.data())
def test_order_and_repetition_of_feedback_make_no_difference(
    events: list[FeedbackEvent], rules: TaskSettings, minutes: int, data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(events))) if events else []
    shuffled = data.draw(st.permutations([*events, *redeliver(repeated)]))
    assert try_outcome(*shuffled, rules=rules, as_of=minutes_after_start(minutes)) == try_outcome(
        *events, rules=rules, as_of=minutes_after_start(minutes)
    )


@given(feedback_lists(), RULES)
def test_feedback_that_the_task_rejects_is_ignored(events: list[FeedbackEvent], rules: TaskSettings) -> None:
    invalid = [
        make_feedback(minute, actor, correction={"sum": "?"}, reward=1.0)
        for minute in (0, 30)
        for actor in ("ada", "dan")
    ]
    assert try_outcome(*events, *invalid, rules=rules) == try_outcome(*events, rules=rules)


@given(feedback_lists(), RULES)
def test_the_label_follows_the_actors_last_events(events: list[FeedbackEvent], rules: TaskSettings) -> None:
    outcome = try_outcome(*events, rules=rules)
    if outcome is None:
        return
    votes = _votes(events)
    assert outcome.contradicted == (len(set(votes.values())) > 1)
    assert (outcome.label is None) == (not votes)
    if outcome.label is not None:
        supporters = sorted(actor for actor, vote in votes.items() if vote == outcome.label["sum"])
        assert list(outcome.actors) == supporters
        if rules.label_rule == "majority":
            assert all(list(votes.values()).count(vote) <= len(supporters) for vote in votes.values())
        assert outcome.score == float(outcome.label == OUTPUT)


def _votes(events: Sequence[FeedbackEvent]) -> dict[str, float]:
    """Return each actor's current sum, by applying the events one after the other."""
    votes: dict[str, float] = {}
    for event in sorted(events, key=lambda event: (event.time, event.id)):
        feedback = event.feedback
        if feedback.correction is not None and "sum" in feedback.correction:
            votes[feedback.actor] = feedback.correction["sum"]
        elif feedback.correction is None and feedback.accepted:
            votes[feedback.actor] = OUTPUT["sum"]
        elif feedback.correction is None and feedback.accepted is False:
            votes.pop(feedback.actor, None)
    return votes


@given(feedback_lists(), RULES, st.integers(0, 30), st.integers(0, 30))
def test_an_outcome_changes_with_time_only_by_its_default_reward(
    events: list[FeedbackEvent], rules: TaskSettings, first: int, second: int
) -> None:
    before, after = (
        try_outcome(*events, rules=rules, as_of=minutes_after_start(minutes)) for minutes in sorted((first, second))
    )
    if before is None:
        assert after is None or after.reward_defaulted
    elif before != after:
        assert before.reward is None
        assert after == before.model_copy(update={"reward": rules.reward_default, "reward_defaulted": True})


def test_equal_outcomes_have_equal_ids() -> None:
    first, second = (
        outcome_of(make_feedback(1, **make_correction(2))),
        outcome_of(make_feedback(1, **make_correction(3))),
    )
    assert outcome_id(first) == outcome_id(outcome_of(make_feedback(1, **make_correction(2))))
    assert outcome_id(first) != outcome_id(second)
    assert canonical_json({"b": 1, "a": {"d": 2, "c": 3}}) == canonical_json({"a": {"c": 3, "d": 2}, "b": 1})


def test_outcomes_without_retractions_keep_the_ids_that_older_releases_gave_them() -> None:
    assert outcome_id(outcome_of(make_feedback(1, **make_correction(2)))) == "2b1adf93-b749-566d-af24-68a931899f89"


def test_an_outcome_record_has_its_predictions_id_as_key() -> None:
    outcome = outcome_of(make_feedback(1, **make_correction(2)))
    record = build_outcome_record(outcome, minutes_after_start(60))
    assert (record.topic, record.key) == ("letters.outcomes", outcome.prediction_id.encode())
    assert OutcomeRecorded.model_validate_json(record.value or b"") == outcome
    assert header_text(record.headers, "ce_id") == outcome_id(outcome)
    assert header_text(record.headers, "ce_time") == "2026-01-31T13:00:00.000Z"
