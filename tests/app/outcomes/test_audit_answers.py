"""Which feedback answers the audit."""

from app.outcomes.label_aggregation import build_outcome, outcome_id
from app.outcomes.prediction_history import PredictionHistory
from app.settings import TaskSettings
from tests.support.sum_outcomes import LATER, outcome_of
from tests.support.sum_task import (
    SumTask,
    make_correction,
    make_feedback,
    make_retraction,
    make_served_prediction,
)


def test_an_audited_prediction_is_answered_if_feedback_that_counts_was_given_in_the_audit() -> None:
    rules = TaskSettings(audit_rate=1)
    in_audit = make_feedback(2, "bob", queue="audit", **make_correction(2))
    assert outcome_of(rules=rules).audit_answered is False
    assert outcome_of(make_feedback(1, **make_correction(2)), rules=rules).audit_answered is False
    assert outcome_of(make_feedback(1, queue="uncertain", accepted=True), rules=rules).audit_answered is False
    assert outcome_of(in_audit, make_feedback(3, **make_correction(2)), rules=rules).audit_answered is True
    retracted = PredictionHistory(make_served_prediction(), (in_audit,), (make_retraction(in_audit).retraction,))
    outcome = build_outcome(SumTask(), rules, retracted, LATER)
    assert outcome is not None
    assert outcome.audit_answered is False
    assert outcome_of(in_audit).audit_answered is None  # not in the audit


def test_an_outcome_outside_of_the_audit_keeps_the_id_of_older_releases() -> None:
    outcome = outcome_of(make_feedback(1, accepted=True))
    audited = outcome.model_copy(update={"audit_answered": False})
    assert outcome_id(outcome) == "5f1200b1-6cb2-5fb7-8321-410590ad36a2" != outcome_id(audited)
