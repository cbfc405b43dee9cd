"""The decisions' benchmark, on its smallest set: every learner plays, and what is shown is what was played."""

import numpy as np
import pytest

from benchmarks.studies.decisions import (
    LEARNERS,
    ROUNDS,
    curve_section,
    markdown,
    mean_and_half_width,
    play_rounds,
    summarize_rounds,
)


@pytest.mark.parametrize("learner", ["vowpal wabbit, squarecb", "epsilon-greedy logistic", "linucb"])
def test_peers_learn_within_a_round(learner: str) -> None:
    served, after = play_rounds("wine", learner, 0)
    assert len(served) == len(after) == ROUNDS
    assert served[0] > 0.5
    assert served[1] < 0.2


def test_who_chooses_at_random_learns_nothing() -> None:
    served, _ = play_rounds("wine", "uniform", 0)
    assert min(served) > 0.5


def test_a_spread_is_the_mean_with_student_s_interval() -> None:
    mean, reach = mean_and_half_width(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert reach == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)


def test_a_table_has_a_row_for_each_learner() -> None:
    games = [([0.5] * ROUNDS, [0.25] * ROUNDS), ([0.7] * ROUNDS, [0.25] * ROUNDS)]
    text = markdown(curve_section([summarize_rounds("wine", name, games) for name in LEARNERS], "wine"))
    assert all(f"| {name} | 0.600 ±" in text for name in LEARNERS)
    assert "3.000 ±" in text
