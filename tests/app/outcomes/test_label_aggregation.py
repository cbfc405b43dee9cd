import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

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

LATER = minutes_after_start(60)
VOLUNTARY = TaskSettings(audit_rate=0)
WINDOW = TaskSettings(audit_rate=0, reward_window_seconds=600, reward_default=-0.5)
RULES = st.builds(
    TaskSettings,
    audit_rate=st.sampled_from([0.0, 0.5, 1.0]),
    full_feedback=st.booleans(),
    label_rule=st.sampled_from(["majority", "latest"]),
    reward_window_seconds=st.sampled_from([None, 300.0, 1200.0]),
)


def judged(
    *events: FeedbackEvent, rules: TaskSettings = VOLUNTARY, as_of: datetime = LATER, **prediction: Any
) -> OutcomeRecorded | None:
    return build_outcome(SumTask(), rules, PredictionHistory(make_served_prediction(**prediction), events), as_of)


def outcome(*events: FeedbackEvent, rules: TaskSettings = VOLUNTARY, as_of: datetime = LATER) -> OutcomeRecorded:
    found = judged(*events, rules=rules, as_of=as_of)
    assert found is not None
    return found


def test_an_outcome_says_what_was_predicted() -> None:
    found, made = outcome(make_feedback(1, reward=1.0)), make_served_prediction().prediction
    names = ("prediction_id", "request_id", "task", "model", "role", "output", "confidence", "propensity")
    assert [getattr(found, name) for name in names] == [getattr(made, name) for name in names]
    assert found.request_source == "app"


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


def test_nothing_is_said_of_a_prediction_that_nobody_looks_at() -> None:
    assert judged() is None
    assert judged(rules=TaskSettings(full_feedback=True)) is None


def test_a_shadow_has_no_outcome() -> None:
    assert judged(make_feedback(1, **make_correction(2)), rules=TaskSettings(audit_rate=1), role="shadow") is None
    assert judged(make_feedback(1, **make_correction(2)), role="canary") is not None


def test_a_correction_is_the_label_and_the_output_is_scored_against_it() -> None:
    wrong, right = outcome(make_feedback(1, **make_correction(2))), outcome(make_feedback(1, **make_correction(1)))
    assert (wrong.label, wrong.score, wrong.actors, wrong.feedback) == ({"sum": 2.0}, 0.0, ("ada",), 1)
    assert (right.label, right.score, right.accepted) == (OUTPUT, 1.0, None)


def test_who_accepts_says_that_the_output_is_right() -> None:
    found = outcome(make_feedback(1, accepted=True))
    assert (found.label, found.score, found.accepted, found.actors) == (OUTPUT, 1.0, True, ("ada",))


def test_who_accepts_agrees_with_who_repeats_the_output() -> None:
    found = outcome(make_feedback(1, "ada", accepted=True), make_feedback(2, "bob", correction={"sum": "1"}))
    assert (found.contradicted, found.actors, found.accepted) == (False, ("ada", "bob"), True)


def test_a_later_correction_by_the_same_actor_replaces_the_earlier() -> None:
    found = outcome(make_feedback(2, **make_correction(3)), make_feedback(1, **make_correction(2)))
    assert (found.label, found.contradicted, found.feedback) == ({"sum": 3.0}, False, 2)


def test_of_two_at_the_same_time_the_greater_id_counts() -> None:
    found = outcome(make_feedback(1, id="b", **make_correction(3)), make_feedback(1, id="a", **make_correction(2)))
    assert found.label == {"sum": 3.0}


def test_of_two_events_with_one_identity_the_first_in_the_log_is_the_event() -> None:
    earlier, later = make_feedback(2, id="a", **make_correction(2)), make_feedback(1, id="a", **make_correction(3))
    assert outcome(earlier, dataclasses.replace(later, logged=minutes_after_start(3))).label == {"sum": 2.0}
    assert outcome(dataclasses.replace(earlier, logged=minutes_after_start(4)), later).label == {"sum": 3.0}


def test_a_refusal_withdraws_the_actors_own_label_only() -> None:
    alone = outcome(make_feedback(1, **make_correction(2)), make_feedback(2, accepted=False))
    assert (alone.label, alone.score, alone.accepted, alone.actors) == (None, None, False, ())
    found = outcome(
        make_feedback(1, "ada", **make_correction(2)),
        make_feedback(1, "bob", **make_correction(3)),
        make_feedback(2, "ada", accepted=False),
    )
    assert (found.label, found.actors, found.contradicted) == ({"sum": 3.0}, ("bob",), False)


def test_a_refusal_with_a_correction_is_a_correction() -> None:
    found = outcome(make_feedback(1, accepted=False, **make_correction(2)))
    assert (found.label, found.accepted) == ({"sum": 2.0}, False)


CONTRADICTION = (
    make_feedback(1, "ada", **make_correction(2)),
    make_feedback(2, "bob", **make_correction(2)),
    make_feedback(3, "cleo", **make_correction(3)),
)


def test_between_actors_the_majority_counts_or_the_latest() -> None:
    most = outcome(*CONTRADICTION)
    last = outcome(*CONTRADICTION, rules=TaskSettings(audit_rate=0, label_rule="latest"))
    assert (most.label, most.actors, most.contradicted) == ({"sum": 2.0}, ("ada", "bob"), True)
    assert (last.label, last.actors, last.contradicted) == ({"sum": 3.0}, ("cleo",), True)


def test_a_tie_goes_to_the_latest() -> None:
    assert outcome(*CONTRADICTION[1:]).label == {"sum": 3.0}


def test_of_several_rewards_the_latest_counts() -> None:
    assert (
        outcome(
            make_feedback(2, "bob", reward=0.5), make_feedback(1, reward=1.0), make_feedback(0, "cleo", reward=-1.0)
        ).reward
        == 0.5
    )
    assert outcome(make_feedback(2, "bob", reward=0.5), make_feedback(3, **make_correction(1))).reward == 0.5


def test_a_reward_is_no_label() -> None:
    found = outcome(make_feedback(1, reward=1.0))
    assert (found.label, found.score, found.actors, found.accepted) == (None, None, (), None)


def test_a_reward_counts_within_its_window_and_at_any_time_without_one() -> None:
    late = make_feedback(11, reward=1.0)
    assert outcome(late).reward == 1.0
    assert outcome(make_feedback(10, reward=1.0), rules=WINDOW).reward == 1.0
    assert (outcome(late, rules=WINDOW).reward, outcome(late, rules=WINDOW).reward_defaulted) == (-0.5, True)


def test_a_reward_that_never_came_is_the_default_once_the_window_has_ended() -> None:
    assert judged(rules=WINDOW, as_of=minutes_after_start(10)) is None
    assert outcome(make_feedback(1, **make_correction(2)), rules=WINDOW, as_of=minutes_after_start(10)).reward is None
    ended = outcome(rules=WINDOW, as_of=minutes_after_start(10) + timedelta(microseconds=1))
    assert (ended.reward, ended.reward_defaulted, ended.feedback) == (-0.5, True, 0)


def test_a_reward_known_late_replaces_the_default() -> None:
    found = outcome(make_feedback(9, reward=1.0), rules=WINDOW, as_of=minutes_after_start(10_000))
    assert (found.reward, found.reward_defaulted) == (1.0, False)


def test_how_a_prediction_came_to_be_looked_at_is_said_with_its_probability() -> None:
    found = outcome(make_feedback(1, accepted=True))
    assert (found.selection, found.selection_probability) == ("volunteer", None)
    found = outcome(make_feedback(1, accepted=True), rules=TaskSettings(full_feedback=True))
    assert (found.selection, found.selection_probability) == ("all", 1.0)
    request = next(str(number) for number in range(1000) if in_audit_sample(prediction_id_of(str(number)), 0.01))
    audited = judged(rules=TaskSettings(audit_rate=0.01), request=request)
    assert audited is not None
    assert (audited.selection, audited.selection_probability, audited.label) == ("audit", 0.01, None)


IDS = [prediction_id("letters", "app", str(number)) for number in range(10_000)]


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_audit_draws_its_share(rate: float) -> None:
    assert sum(in_audit_sample(unique, rate) for unique in IDS) / len(IDS) == pytest.approx(rate, abs=0.01)


@given(st.sampled_from(IDS), st.floats(0, 1), st.floats(0, 1))
def test_at_a_higher_rate_what_was_drawn_is_drawn(unique: str, one: float, other: float) -> None:
    assert in_audit_sample(unique, min(one, other)) <= in_audit_sample(unique, max(one, other))


@given(feedback_lists(), RULES, st.integers(0, 30), st.data())
def test_order_and_repetition_of_feedback_never_matter(
    events: list[FeedbackEvent], rules: TaskSettings, minutes: int, data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(events))) if events else []
    shuffled = data.draw(st.permutations([*events, *redeliver(again)]))
    assert judged(*shuffled, rules=rules, as_of=minutes_after_start(minutes)) == judged(
        *events, rules=rules, as_of=minutes_after_start(minutes)
    )


@given(feedback_lists(), RULES)
def test_what_the_task_refuses_counts_for_nothing(events: list[FeedbackEvent], rules: TaskSettings) -> None:
    refused = [
        make_feedback(n, actor, correction={"sum": "?"}, reward=1.0) for n in (0, 30) for actor in ("ada", "dan")
    ]
    assert judged(*events, *refused, rules=rules) == judged(*events, rules=rules)


@given(feedback_lists(), RULES)
def test_the_label_is_that_of_the_actors_last_words(events: list[FeedbackEvent], rules: TaskSettings) -> None:
    found = judged(*events, rules=rules)
    if found is None:
        return
    votes = _votes(events)
    assert found.contradicted == (len(set(votes.values())) > 1)
    assert (found.label is None) == (not votes)
    if found.label is not None:
        behind = sorted(actor for actor, voted in votes.items() if voted == found.label["sum"])
        assert list(found.actors) == behind
        if rules.label_rule == "majority":
            assert all(list(votes.values()).count(vote) <= len(behind) for vote in votes.values())
        assert found.score == float(found.label == OUTPUT)


def _votes(events: Sequence[FeedbackEvent]) -> dict[str, float]:
    """Who holds which sum, told one word after the other."""
    votes: dict[str, float] = {}
    for one in sorted(events, key=lambda one: (one.time, one.id)):
        given = one.feedback
        if given.correction is not None and "sum" in given.correction:
            votes[given.actor] = given.correction["sum"]
        elif given.correction is None and given.accepted:
            votes[given.actor] = OUTPUT["sum"]
        elif given.correction is None and given.accepted is False:
            votes.pop(given.actor, None)
    return votes


@given(feedback_lists(), RULES, st.integers(0, 30), st.integers(0, 30))
def test_as_time_passes_an_outcome_changes_only_by_the_default_of_its_reward(
    events: list[FeedbackEvent], rules: TaskSettings, one: int, other: int
) -> None:
    before, after = (
        judged(*events, rules=rules, as_of=minutes_after_start(minutes)) for minutes in sorted((one, other))
    )
    if before is None:
        assert after is None or after.reward_defaulted
    elif before != after:
        assert before.reward is None
        assert after == before.model_copy(update={"reward": rules.reward_default, "reward_defaulted": True})


def test_an_outcomes_id_is_that_of_what_it_says() -> None:
    one, other = outcome(make_feedback(1, **make_correction(2))), outcome(make_feedback(1, **make_correction(3)))
    assert outcome_id(one) == outcome_id(outcome(make_feedback(1, **make_correction(2))))
    assert outcome_id(one) != outcome_id(other)
    assert canonical_json({"b": 1, "a": {"d": 2, "c": 3}}) == canonical_json({"a": {"c": 3, "d": 2}, "b": 1})


def test_an_outcome_is_an_event_under_its_predictions_id() -> None:
    found = outcome(make_feedback(1, **make_correction(2)))
    record = build_outcome_record(found, minutes_after_start(60))
    assert (record.topic, record.key) == ("letters.outcomes", found.prediction_id.encode())
    assert OutcomeRecorded.model_validate_json(record.value or b"") == found
    assert header_text(record.headers, "ce_id") == outcome_id(found)
    assert header_text(record.headers, "ce_time") == "2026-01-31T13:00:00.000Z"
