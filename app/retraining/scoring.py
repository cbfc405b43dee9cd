"""The score of what a candidate says."""

import math
from collections.abc import Mapping
from typing import Any

from models.base import Task


def score(task: Task, output: Mapping[str, Any], label: Mapping[str, Any]) -> float:
    """The task's score of an output; 0 where that is no finite number, which would pass every comparison."""
    found = task.score(output, label)
    return found if math.isfinite(found) else 0.0
