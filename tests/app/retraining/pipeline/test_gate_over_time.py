"""The gate on outcomes with a time and an entity: what is new, what is old, and how often it was looked at."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.retraining.pipeline.gate import PairedScore, evaluate_gate
from app.settings.gate import GateSettings
from tests.app.retraining.pipeline.test_gate import BETTER, BOUNDS, GOOD, make_pairs, only_reason

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_dated_pairs(gains: Sequence[float], entity: str | None = None) -> list[PairedScore]:
    """Return outcomes with these gains, one a minute."""
    times = (START + timedelta(minutes=minute) for minute in range(len(gains)))
    return [PairedScore(0.5 + gain, 0.5, entity=entity, time=at) for gain, at in zip(gains, times, strict=True)]


@pytest.mark.parametrize("older", [0, 1000, 5000])
def test_an_improvement_on_what_is_new_passes_however_long_the_history_is(older: int) -> None:
    """150 outcomes of a new source gain 0.05 each; of those before 6 % change, by 0 in the mean."""
    rng = np.random.default_rng(older)
    history = rng.choice([-0.05, 0.0, 0.05], older, p=[0.03, 0.94, 0.03]).tolist()
    bounds = GateSettings(recent_outcomes=200)
    assert evaluate_gate(replace(GOOD, pairs=make_dated_pairs([*history, *[0.05] * 150])), bounds, 0).passed


def test_an_improvement_on_what_is_new_does_not_make_up_for_a_loss_on_the_history() -> None:
    reason = only_reason(replace(GOOD, pairs=make_dated_pairs([*[-0.05] * 3000, *[0.1] * 500])))
    assert reason.startswith("On all 3500 held-out outcomes the score changes by -0.0286, at 96.96% between ")
    assert reason.endswith("the lower end must not be below -0.02.")


def test_the_outcomes_of_one_entity_are_no_independent_evidence() -> None:
    of_one = make_dated_pairs([0.1] * 300, "till 1")
    assert "between -inf and +inf" in only_reason(replace(GOOD, pairs=of_one))
    of_three = [replace(pair, entity=f"till {number % 3}") for number, pair in enumerate(make_pairs(BETTER))]
    clustered = evaluate_gate(replace(GOOD, pairs=of_three), BOUNDS, 0).metrics
    single = evaluate_gate(GOOD, BOUNDS, 0).metrics
    assert clustered["improvement_high"] > single["improvement_high"]


def test_each_further_evaluation_on_the_same_outcomes_needs_more_evidence() -> None:
    evidence = replace(GOOD, pairs=make_dated_pairs([0.0, 0.2] * 150))
    before, within = START - timedelta(days=1), START + timedelta(minutes=10)
    lows = [
        evaluate_gate(replace(evidence, earlier_evaluations=earlier), BOUNDS, 0).metrics["improvement_low"]
        for earlier in ([], [before] * 9, [within], [within] * 9)
    ]
    assert lows[0] == lows[1] > lows[2] > lows[3]


def test_candidates_that_are_tried_at_once_share_the_error() -> None:
    evidence = replace(GOOD, pairs=make_dated_pairs([0.0, 0.2] * 150))
    alone, of_three = (
        evaluate_gate(replace(evidence, candidates=candidates), BOUNDS, 0).metrics["improvement_low"]
        for candidates in (1, 3)
    )
    assert of_three < alone
