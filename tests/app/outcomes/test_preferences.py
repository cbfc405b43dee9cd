"""Preferences in the aggregation of outcomes."""

from typing import Any

import pytest

from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import outcome_id
from app.settings import TaskSettings
from tests.support.sum_outcomes import outcome_of
from tests.support.sum_task import OUTPUT, make_feedback


def better(value: Any) -> dict[str, Any]:
    return {"preference": {"output": {"sum": value}, "better": True}}


def worse(value: Any) -> dict[str, Any]:
    return {"preference": {"output": {"sum": value}, "better": False}}


def preferences(outcome: OutcomeRecorded) -> list[tuple[float, bool]]:
    return [(preference.output["sum"], preference.better) for preference in outcome.preferences]


def test_a_preference_is_recorded_as_the_task_writes_outputs() -> None:
    outcome = outcome_of(make_feedback(1, **better("2")))
    assert preferences(outcome) == [(2.0, True)]


def test_a_preference_is_neither_label_nor_reward() -> None:
    outcome = outcome_of(make_feedback(1, **better(2)))
    assert (outcome.label, outcome.reward, outcome.score, outcome.feedback) == (None, None, None, 1)


def test_each_other_output_has_one_preference() -> None:
    outcome = outcome_of(make_feedback(1, **worse(3)), make_feedback(2, **better(2)), make_feedback(3, **better(3)))
    assert preferences(outcome) == [(2.0, True), (3.0, True)]


CONTRADICTION = (
    make_feedback(1, "ada", **better(2)),
    make_feedback(2, "bob", **better(2)),
    make_feedback(3, "cleo", **worse(2)),
)


@pytest.mark.parametrize(("rule", "is_better"), [("majority", True), ("latest", False)])
def test_the_label_rule_decides_between_actors(rule: Any, is_better: bool) -> None:
    outcome = outcome_of(*CONTRADICTION, rules=TaskSettings(audit_rate=0, label_rule=rule))
    assert preferences(outcome) == [(2.0, is_better)]


@pytest.mark.parametrize("fields", [better("one"), better(OUTPUT["sum"])])
def test_what_compares_with_no_other_output_is_left_out(fields: dict[str, Any]) -> None:
    assert preferences(outcome_of(make_feedback(1, **fields), make_feedback(2, reward=1.0))) == []


def test_an_outcome_with_a_preference_has_an_id_of_its_own() -> None:
    rewarded = make_feedback(1, reward=1.0)
    ids = {outcome_id(outcome_of(rewarded, make_feedback(2, **fields))) for fields in (better(2), worse(2), better(3))}
    assert len(ids) == 3
