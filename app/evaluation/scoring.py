"""The score of what a candidate says."""

import math
from collections.abc import Mapping
from typing import Any

from app.events.types import OutcomeRecorded
from models.base import Task


def score(task: Task, output: Mapping[str, Any], label: Mapping[str, Any]) -> float:
    """The task's score of an output; 0 where that is no finite number, which would pass every comparison."""
    found = task.score(output, label)
    return found if math.isfinite(found) else 0.0


def outcome_score(outcome: OutcomeRecorded) -> float | None:
    """Its score; its reward, where the task is judged by that; 0 of what was said to be wrong and no more."""
    found = outcome.reward if outcome.score is None else outcome.score
    return 0.0 if found is None and outcome.accepted is False else found
