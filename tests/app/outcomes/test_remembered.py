"""Outcomes of remembered corrections: they judge the model by its own output, and the correction beside it."""

import pytest
from prometheus_client import REGISTRY

from app.catalog.catalog import Catalog
from app.events.memory import MemoryOutcome
from app.events.types import OutcomeRecorded
from app.outcomes.prediction_history import FeedbackEvent
from app.settings import TaskSettings
from tests.app.outcomes.test_recorder import catalog, joins, make_recorder, parse_outcome, record_batch
from tests.support.fake_inference import TASK
from tests.support.sum_outcomes import NO_AUDIT, WINDOW, try_outcome
from tests.support.sum_task import make_correction, make_feedback, make_served_prediction, remembered_answer

__all__ = ["catalog"]  # a fixture of the tests here

SERVED, OWN, OTHER = 1.0, 2.0, 3.0


def outcome_of(*events: FeedbackEvent, rules: TaskSettings = NO_AUDIT) -> OutcomeRecorded:
    """Return the outcome of a served sum of 1, where the model's own is 2."""
    outcome = try_outcome(*events, rules=rules, output={"sum": SERVED}, **remembered_answer(OWN))
    assert outcome is not None
    assert (outcome.output, outcome.confidence, outcome.propensity) == ({"sum": OWN}, 0.25, 0.5)
    assert outcome.input_digest == "0" * 64
    return outcome


def memory_of(outcome: OutcomeRecorded) -> MemoryOutcome:
    assert outcome.memory is not None
    assert (outcome.memory.outcome, outcome.memory.output) == ("o", {"sum": SERVED})
    return outcome.memory


@pytest.mark.parametrize(
    ("label", "model", "memory", "right"), [(SERVED, 0.0, 1.0, True), (OWN, 1.0, 0.0, False), (OTHER, 0.0, 0.0, False)]
)
def test_a_label_scores_the_models_own_output_and_the_remembered_correction(
    label: float, model: float, memory: float, right: bool
) -> None:
    outcome = outcome_of(make_feedback(1, **make_correction(label)))
    assert (outcome.score, memory_of(outcome).score, memory_of(outcome).right) == (model, memory, right)


def test_who_accepts_a_remembered_correction_says_that_the_model_is_wrong() -> None:
    outcome = outcome_of(make_feedback(1, accepted=True))
    assert (outcome.label, outcome.score, outcome.accepted) == ({"sum": SERVED}, 0.0, None)
    assert (memory_of(outcome).accepted, memory_of(outcome).right) == (True, True)


def test_who_rejects_a_remembered_correction_says_nothing_of_the_model() -> None:
    outcome = outcome_of(make_feedback(1, accepted=False))
    assert (outcome.label, outcome.score, outcome.accepted) == (None, None, None)
    assert memory_of(outcome).right is False


def test_rewards_and_preferences_are_of_the_served_correction_alone() -> None:
    better = {"output": {"sum": OTHER}, "better": True}
    outcome = outcome_of(make_feedback(1, reward=1.0), make_feedback(2, preference=better), rules=WINDOW)
    assert (outcome.reward, outcome.reward_defaulted, outcome.preferences) == (None, False, ())
    assert (memory_of(outcome).reward, memory_of(outcome).right) == (1.0, None)


def test_no_reward_is_defaulted_for_the_model() -> None:
    outcome = try_outcome(rules=WINDOW, output={"sum": SERVED}, **remembered_answer(OWN))
    assert outcome is None or (outcome.reward, outcome.reward_defaulted) == (None, False)


async def test_outcomes_are_counted_by_what_people_say_of_the_remembered_correction(catalog: Catalog) -> None:
    def counts() -> list[float]:
        labels = [{"task": TASK, "outcome": outcome} for outcome in ("right", "wrong")]
        return [REGISTRY.get_sample_value("hindsight_memory_answers_total", label) or 0.0 for label in labels]

    recorder = make_recorder(catalog, TaskSettings.model_validate({"audit_rate": 0, "correction_memory": {}}))
    before = counts()
    events = [
        event
        for request, label in (("1", SERVED), ("2", OTHER), ("3", OTHER))
        for event in (
            make_served_prediction(request, {"sum": SERVED}, **remembered_answer(OWN)),
            make_feedback(1, request=request, **make_correction(label)),
        )
    ]
    records = await record_batch(recorder, joins(*events))
    assert [parse_outcome(record).score for record in records] == [0.0, 0.0, 0.0]
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1.0, 2.0]
