"""Scores of outputs and outcomes."""

import math
from collections.abc import Mapping
from typing import Any

from app.events.types import OutcomeRecorded
from models.base import Task


def score(task: Task, output: Mapping[str, Any], label: Mapping[str, Any]) -> float:
    """Return the task's score of an output; 0 if it is not finite, because NaN would pass every comparison."""
    value = task.score(output, label)
    return value if math.isfinite(value) else 0.0


def outcome_score(outcome: OutcomeRecorded) -> float | None:
    """Return the score of an outcome, else its reward; 0 if it was only rejected."""
    value = outcome.reward if outcome.score is None else outcome.score
    return 0.0 if value is None and outcome.accepted is False else value
