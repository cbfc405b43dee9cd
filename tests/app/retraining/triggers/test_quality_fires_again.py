"""Quality fires again while a fall is not mended, and more and more seldom."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.retraining.triggers.evaluate import evaluate
from app.retraining.triggers.observation import TaskTriggerState
from tests.support.triggers import BOUND, HOUR, NOON, explain_trigger, fired_triggers, quality_at


def test_quality_fires_again_while_it_is_low() -> None:
    looks = [quality_at(hour, score) for hour, score in enumerate([0.7, 0.7, 0.79, 0.85, 0.7])]
    assert fired_triggers(looks, BOUND) == ["quality", "quality", "quality", None, "quality"]


def test_quality_does_not_fire_again_on_a_window_that_began_before_the_run() -> None:
    looks = [quality_at(hour, 0.7) for hour in (0, 0, 1, 2)]  # the third run is at the end of hour 2
    assert fired_triggers(looks, BOUND) == ["quality", None, "quality", None]


def test_each_run_that_did_not_mend_a_fall_doubles_the_labels_of_the_next() -> None:
    needed = [(1, 99), (1, 100), (2, 199), (2, 200), (5, 1599), (5, 1600)]
    looks = [replace(quality_at(0, 0.7), fall_runs=runs, labelled=labels) for runs, labels in needed]
    assert [bool(fired_triggers([seen], BOUND)[0]) for seen in looks] == [False, True] * 3


@given(st.lists(st.integers(0, 400), max_size=40))
def test_a_loss_that_no_training_mends_starts_few_runs(labels: list[int]) -> None:
    state, runs, since_run = TaskTriggerState(), 0, 0
    for hour, labelled in enumerate(labels):
        since_run += labelled
        seen = replace(quality_at(hour, 0.7), fall_runs=runs, labelled=since_run)
        state, firings = evaluate(state, seen, NOON + (hour + 1) * HOUR, BOUND)
        runs, since_run = (runs + 1, 0) if firings else (runs, since_run)
    assert runs <= 1 + np.log2(1 + sum(labels) / BOUND.quality_min_labelled)


def test_after_a_run_quality_explains_what_it_needs_to_fire_again() -> None:
    state, _ = evaluate(TaskTriggerState(), quality_at(0, 0.7), NOON + HOUR, BOUND)
    found = explain_trigger(replace(quality_at(0, 0.7), fall_runs=1), BOUND, "quality", state)
    assert found.missing == ("A run has answered this window: one that begins after the run is needed.",)
    found = explain_trigger(replace(quality_at(1, 0.7), fall_runs=2, labelled=50), BOUND, "quality", state)
    assert found.missing == (
        "The next run takes 200 labels since the last dataset, 150 more:"
        " twice as many after each run that did not mend the fall.",
    )
    assert found.sees.startswith("The window to 2026-01-01 14:00 scores 0.700 (0.695 to 0.705): 400 labels")
