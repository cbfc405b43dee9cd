"""Outcomes of the sum task, by rules, for tests of their aggregation."""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from app.events.types import OutcomeRecorded
from app.outcomes.label_aggregation import build_outcome
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory
from app.settings import RewardSettings, TaskSettings
from tests.support.sum_task import (
    SumTask,
    make_served_prediction,
    minutes_after_start,
)

LATER = minutes_after_start(60)
NO_AUDIT = TaskSettings(audit_rate=0)
WINDOW = TaskSettings(audit_rate=0, reward_window_seconds=600, reward_default=-0.5)
RULES = st.builds(
    TaskSettings,
    audit_rate=st.sampled_from([0.0, 0.5, 1.0]),
    full_feedback=st.booleans(),
    label_rule=st.sampled_from(["majority", "latest"]),
    reward_window_seconds=st.sampled_from([None, 300.0, 1200.0]),
    rewards=st.dictionaries(
        st.sampled_from(["click", "purchase"]),
        st.builds(
            RewardSettings,
            weight=st.sampled_from([-0.5, 0.0, 0.1, 2.0]),
            window_seconds=st.sampled_from([None, 240.0, 900.0]),
            combine=st.sampled_from(["latest", "sum", "max", "first"]),
        ),
    ),
)


def try_outcome(
    *events: FeedbackEvent, rules: TaskSettings = NO_AUDIT, as_of: datetime = LATER, **prediction: Any
) -> OutcomeRecorded | None:
    return build_outcome(SumTask(), rules, PredictionHistory(make_served_prediction(**prediction), events), as_of)


def outcome_of(*events: FeedbackEvent, rules: TaskSettings = NO_AUDIT, as_of: datetime = LATER) -> OutcomeRecorded:
    outcome = try_outcome(*events, rules=rules, as_of=as_of)
    assert outcome is not None
    return outcome
