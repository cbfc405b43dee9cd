"""Enlarged payloads are the same to a task."""

import numpy as np
import pytest

from app.settings import Settings
from app.tasks import load_tasks
from benchmarks.payloads import enlarge, make_payloads

TASKS = load_tasks(Settings())
EXTRA = 100_001  # odd, and more than one comment of a JPEG file holds


@pytest.mark.parametrize("name", TASKS)
def test_a_larger_file_has_the_same_features(name: str) -> None:
    task = TASKS[name]
    for payload in make_payloads(task, 3, seed=1):
        enlarged = enlarge(payload, EXTRA)
        assert EXTRA <= len(enlarged) - len(payload) <= EXTRA + 20
        before, after = task.preprocess(payload), task.preprocess(enlarged)
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[feature], after[feature]) for feature in before)
        assert enlarge(payload, 0) == payload


def test_an_unknown_format_can_not_be_enlarged() -> None:
    with pytest.raises(ValueError, match="add its format"):
        enlarge(b"fLaC....", 1)
