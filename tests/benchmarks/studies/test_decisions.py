"""The study of decisions, on its smallest set: every learner plays, and the tables show what was played."""

import pytest

from benchmarks.studies.decisions import LEARNERS, ROUNDS, curve_section, play_rounds, summarize_rounds
from benchmarks.studies.summary import markdown


@pytest.mark.parametrize("learner", ["vowpal wabbit, squarecb", "epsilon-greedy logistic", "linucb"])
def test_peers_learn_within_a_round(learner: str) -> None:
    served, greedy = play_rounds("wine", learner, 0)
    assert len(served) == len(greedy) == ROUNDS
    assert served[0] > 0.5
    assert served[1] < 0.2


def test_a_learner_that_chooses_at_random_learns_nothing() -> None:
    served, _ = play_rounds("wine", "uniform", 0)
    assert min(served) > 0.5


def test_the_table_of_a_set_has_a_row_for_each_learner() -> None:
    games = [([0.5] * ROUNDS, [0.25] * ROUNDS), ([0.7] * ROUNDS, [0.25] * ROUNDS)]
    text = markdown(curve_section([summarize_rounds("wine", name, games) for name in LEARNERS], "wine"))
    assert all(f"| {name} | 0.600 ±" in text for name in LEARNERS)
    assert "3.000 ±" in text
