"""The gate passes better candidates, and gives reasons with figures for all others."""

from dataclasses import replace
from math import inf, isfinite, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events.base import ModelRef
from app.events.model_events import ModelEvaluated
from app.outcomes.audit import AnsweredShare
from app.retraining.pipeline.gate import GateEvidence, GateVerdict, PairedScore, evaluate_gate
from app.retraining.pipeline.gate_rewards import RewardEvidence
from app.settings.gate import GateSettings
from models.off_policy import Estimate

BOUNDS = GateSettings()
BETTER, WORSE, ALIKE = 0.05, -0.05, 0.0


def make_pairs(gain: float, count: int = 300, slices: dict[str, str] | None = None, seed: int = 0) -> list[PairedScore]:
    """Return outcomes with this mean gain of the candidate, with a spread of 0.1."""
    rng = np.random.default_rng(seed)
    champions, spread = rng.uniform(0.5, 0.8, count), rng.normal(0, 0.1, count)
    gains = gain + spread - spread.mean()
    return [
        PairedScore(float(own + more), float(own), slices=slices or {})
        for own, more in zip(champions, gains, strict=True)
    ]


def make_estimate(value: float, spread: float = 0.1, count: int = 400) -> RewardEvidence:
    return RewardEvidence(Estimate(value, np.resize([spread, -spread], count)))


GOOD = GateEvidence(
    pairs=make_pairs(BETTER),
    original_scores=[(0.95, 0.95), (0.85, 0.85)],
    unanswered=(0, 1000),
    off_policy=make_estimate(0.01),
    latency_ms=(11.0, 10.0),
    size_bytes=1_000_000,
)


def only_reason(evidence: GateEvidence, bounds: GateSettings = BOUNDS) -> str:
    verdict = evaluate_gate(evidence, bounds, 0)
    assert not verdict.passed
    assert len(verdict.reasons) == 1
    return verdict.reasons[0]


def test_a_better_candidate_passes_with_its_figures() -> None:
    verdict = evaluate_gate(GOOD, BOUNDS, 0)
    assert (verdict.passed, verdict.reasons) == (True, ())
    assert verdict.metrics["outcomes"] == 300
    assert verdict.metrics["improvement"] == pytest.approx(BETTER)
    assert verdict.metrics["score_candidate"] - verdict.metrics["score_champion"] == pytest.approx(BETTER)
    half = 2.17 * 0.1 / np.sqrt(300)  # 96.96 %, because there may be further evaluations
    assert verdict.metrics["improvement_high"] == pytest.approx(BETTER + half, abs=0.003)
    assert 0.02 < verdict.metrics["improvement_low"] < BETTER - half, "a rare loss may be among those that are not seen"
    trusting = evaluate_gate(GOOD, GateSettings(unseen_loss=0.0), 0)
    assert trusting.metrics["improvement_low"] == pytest.approx(BETTER - half, abs=0.003)
    assert verdict.metrics["original_candidate"] == pytest.approx(0.9)
    assert verdict.metrics["off_policy_low"] == pytest.approx(0.01 - 1.96 * 0.1 / 20, abs=1e-4)
    assert verdict.metrics["latency_ms_candidate"] == 11.0
    assert verdict.metrics["size_bytes"] == 1_000_000


def test_a_task_without_test_set_and_exploration_is_judged_by_the_other_checks() -> None:
    verdict = evaluate_gate(replace(GOOD, original_scores=[], off_policy=None), BOUNDS, 0)
    assert verdict.passed
    assert not any(name.startswith(("original", "off_policy")) for name in verdict.metrics)


@pytest.mark.parametrize("gain", [ALIKE, WORSE, 0.005])
def test_a_candidate_that_is_not_clearly_better_is_refused(gain: float) -> None:
    reason = only_reason(replace(GOOD, pairs=make_pairs(gain)))
    assert reason.startswith(
        f"On the newest 300 held-out outcomes the score changes by {gain:+.4f}, at 96.96% between "
    )
    assert reason.endswith("the lower end must exceed 0.")


def test_a_candidate_that_fails_served_predictions_is_refused() -> None:
    reason = only_reason(replace(GOOD, unanswered=(2, 1000)))
    assert reason == "Of 1000 served predictions it would not have made 2: 0.1% are allowed."
    assert evaluate_gate(replace(GOOD, unanswered=(1, 1000)), BOUNDS, 0).passed
    assert evaluate_gate(replace(GOOD, unanswered=(0, 0)), BOUNDS, 0).passed


def test_a_candidate_identical_to_the_champion_is_refused() -> None:
    same = [replace(one, candidate=one.champion) for one in make_pairs(ALIKE)]
    assert "changes by +0.0000" in only_reason(replace(GOOD, pairs=same))


def test_min_improvement_may_exceed_every_improvement() -> None:
    assert "must exceed 0.045" in only_reason(GOOD, GateSettings(min_improvement=0.045))


def test_few_candidates_that_are_not_better_pass() -> None:
    passed = sum(
        evaluate_gate(replace(GOOD, pairs=make_chance_pairs(seed)), BOUNDS, seed).passed for seed in range(100)
    )
    assert passed <= 9, "2.5 are expected"


def make_chance_pairs(seed: int) -> list[PairedScore]:
    gains = np.random.default_rng(seed).normal(0, 0.1, 100)
    return [PairedScore(0.7 + float(gain), 0.7) for gain in gains]


def test_rarely_selected_outcomes_have_a_higher_weight() -> None:
    common = [replace(one, weight=1.0) for one in make_pairs(BETTER)]
    rare = [replace(one, weight=20.0) for one in make_pairs(WORSE, 100, seed=1)]
    assert evaluate_gate(replace(GOOD, pairs=common + [replace(one, weight=1.0) for one in rare]), BOUNDS, 0).passed
    expected = (300 * BETTER + 2000 * WORSE) / 2300
    assert f"changes by {expected:+.4f}" in only_reason(replace(GOOD, pairs=common + rare))


def test_a_candidate_that_is_worse_on_one_slice_is_refused_and_the_slice_is_named() -> None:
    german, english = make_pairs(-0.06, 100, {"language": "de"}), make_pairs(0.1, 300, {"language": "en"}, seed=1)
    reason = only_reason(replace(GOOD, pairs=german + english))
    assert reason.startswith("On the slice language=de, 100 outcomes, the score changes by -0.0600, at 95% between ")
    assert reason.endswith("all of it is below -0.02.")


def test_each_worse_slice_has_a_reason_and_each_checked_slice_a_figure() -> None:
    worse = make_pairs(-0.1, 50, {"language": "de", "device": "old"})
    verdict = evaluate_gate(replace(GOOD, pairs=worse + make_pairs(0.1, 300, {"language": "en"}, seed=1)), BOUNDS, 0)
    assert [reason.split(",")[0] for reason in verdict.reasons] == [
        "On the slice device=old",
        "On the slice language=de",
    ]
    assert verdict.metrics["improvement[language=de]"] == pytest.approx(-0.1)
    assert verdict.metrics["improvement[language=en]"] == pytest.approx(0.1)


@pytest.mark.parametrize(("gain", "count"), [(-0.1, 29), (-0.03, 40), (-0.015, 5000)])
def test_slices_that_are_small_or_not_significantly_worse_than_tolerated_pass(gain: float, count: int) -> None:
    better = make_pairs(0.1, 3000, {"language": "en"}, seed=1)
    assert evaluate_gate(replace(GOOD, pairs=make_pairs(gain, count, {"language": "de"}) + better), BOUNDS, 0).passed


def test_a_candidate_that_forgets_its_original_task_is_refused() -> None:
    assert evaluate_gate(replace(GOOD, original_scores=[(0.8901, 0.9)] * 2), BOUNDS, 0).passed
    reason = only_reason(replace(GOOD, original_scores=[(0.88, 0.9), (0.89, 0.9)] * 20))
    assert (
        reason == "On the original test set the score is 0.8850, that of version 1 0.9000: the error may grow by 10%."
    )


def test_forgetting_does_not_compound_from_promotion_to_promotion() -> None:
    forgotten = replace(GOOD, original_scores=[(0.86, 0.88), (0.88, 0.88)] * 20, first_scores=[0.9] * 40)
    assert only_reason(forgotten).startswith("On the original test set the score is 0.8700, that of version 1 0.9000:")
    assert evaluate_gate(replace(forgotten, first_scores=[]), BOUNDS, 0).passed


def test_one_mistake_more_on_the_original_test_set_may_be_chance() -> None:
    assert evaluate_gate(replace(GOOD, original_scores=[(0.0, 1.0), *[(1.0, 1.0)] * 2999]), BOUNDS, 0).passed
    assert only_reason(replace(GOOD, original_scores=[*[(0.0, 1.0)] * 8, *[(1.0, 1.0)] * 2992]))


def test_a_candidate_with_a_low_off_policy_difference_is_refused() -> None:
    assert evaluate_gate(replace(GOOD, off_policy=make_estimate(-0.005)), BOUNDS, 0).passed
    reason = only_reason(replace(GOOD, off_policy=make_estimate(0.05, spread=1.0)))
    assert reason == (
        "By the log the value changes by +0.0500, at 95% between -0.0484 and +0.1484:"
        " the lower end must not be below -0.02."
    )


def test_a_task_with_rewards_only_needs_a_better_off_policy_value() -> None:
    rewarded = replace(GOOD, pairs=[], original_scores=[])
    assert evaluate_gate(replace(rewarded, off_policy=make_estimate(0.05)), BOUNDS, 0).passed
    assert "the lower end must exceed 0." in only_reason(replace(rewarded, off_policy=make_estimate(0.005)))


@pytest.mark.parametrize("count", [1, 99])
def test_a_few_labels_do_not_block_many_rewards(count: int) -> None:
    evidence = replace(GOOD, pairs=make_pairs(WORSE, count), off_policy=make_estimate(0.05, count=10_000))
    assert evaluate_gate(evidence, BOUNDS, 0).passed
    enough = replace(evidence, pairs=make_pairs(WORSE, 100))
    assert only_reason(enough).startswith("On the newest 100 held-out outcomes")


@pytest.mark.parametrize("count", [0, 1])
def test_an_off_policy_estimate_from_few_decisions_is_refused(count: int) -> None:
    estimate = Estimate(nan, np.empty(0)) if count == 0 else Estimate(0.5, np.zeros(1))
    assert "By the log" in only_reason(replace(GOOD, off_policy=RewardEvidence(estimate)))


@pytest.mark.parametrize("latency_ms", [(15.1, 10.0), (nan, 10.0), (11.0, nan), (11.0, 0.0), (1001.0, 1000.0)])
def test_a_candidate_with_a_high_or_unknown_latency_is_refused(latency_ms: tuple[float, float]) -> None:
    assert only_reason(replace(GOOD, latency_ms=latency_ms)).startswith(f"A prediction takes {latency_ms[0]:.2f} ms")


def test_a_candidate_that_is_too_large_is_refused() -> None:
    assert only_reason(replace(GOOD, size_bytes=2_000_000), GateSettings(max_size_bytes=1_999_999)) == (
        "The model has 2,000,000 bytes: at most 1,999,999 are allowed."
    )


@pytest.mark.parametrize(("count", "reviews"), [(0, 200), (1, 190), (19, 10)])
def test_too_few_outcomes_are_refused_however_good_they_are(count: int, reviews: int) -> None:
    perfect = [PairedScore(1.0, 0.0)] * count
    only_labels = replace(GOOD, pairs=perfect, off_policy=None, audit=AnsweredShare(count, count, 0.01))
    assert only_reason(only_labels) == (
        f"{count} held-out outcomes are too few: 20 are needed. That takes about {reviews} more reviews of the audit,"
        f" because one in 10 is held out: at an audit rate of 1.0%, of about {reviews * 100:,} predictions."
    )


def test_the_refusal_says_how_much_of_the_audit_is_answered() -> None:
    unanswered = replace(GOOD, pairs=[], off_policy=None, audit=AnsweredShare(40, 200, 0.05))
    assert only_reason(unanswered) == (
        "0 held-out outcomes are too few: 20 are needed. Of the held-out part of the audit 40 of 200 predictions are"
        " answered: only where 80% of them are, they count. That takes about 200 more reviews of the audit, because one"
        " in 10 is held out: at an audit rate of 5.0%, of about 4,000 predictions."
    )


def test_twenty_outcomes_are_enough_for_a_large_improvement_and_for_no_small_one() -> None:
    labels_only = replace(GOOD, off_policy=None)
    assert evaluate_gate(replace(labels_only, pairs=[PairedScore(0.9, 0.4)] * 20), BOUNDS, 0).passed
    assert "must exceed 0" in only_reason(replace(labels_only, pairs=[PairedScore(0.9, 0.8)] * 20))


@pytest.mark.parametrize(
    "bad",
    [
        PairedScore(nan, 0.5),
        PairedScore(0.5, inf),
        PairedScore(0.5, 0.5, weight=0.0),
        PairedScore(0.5, 0.5, weight=inf),
    ],
)
def test_non_finite_scores_of_outcomes_are_refused(bad: PairedScore) -> None:
    reason = only_reason(replace(GOOD, pairs=[*GOOD.pairs, bad]))
    assert reason == "1 of 301 held-out outcomes lack finite scores or a weight of 1 or more."


def test_all_failed_checks_are_reported_together() -> None:
    nothing = GateEvidence([PairedScore(1.0, 0.5)], [(nan, 0.9)], (1, 9), make_estimate(-1.0), (nan, nan), 2**40)
    verdict = evaluate_gate(nothing, BOUNDS, 0)
    assert len(verdict.reasons) == 5, "one outcome is too few to be judged beside rewards"
    assert verdict.metrics.keys() >= {"off_policy", "original_champion", "size_bytes"}


some_pairs = st.lists(
    st.builds(
        PairedScore,
        st.floats(-1, 1),
        st.floats(-1, 1),
        st.floats(1, 1e6),
        st.dictionaries(st.sampled_from(["language", "device"]), st.sampled_from("ab")),
    ),
    max_size=12,
)
number = st.floats(allow_nan=True, allow_infinity=True)
some_evidence = st.builds(
    GateEvidence,
    some_pairs,
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), max_size=3),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.none() | st.builds(lambda value, count: make_estimate(value, 0.1, count), st.floats(), st.integers(0, 3)),
    st.tuples(number, number),
    st.integers(0, 2**40),
)


@settings(deadline=None, max_examples=40)
@given(some_evidence, st.integers(0, 2**32))
def test_any_evidence_gives_a_deterministic_verdict_that_fits_an_event(evidence: GateEvidence, seed: int) -> None:
    bounds = GateSettings(min_outcomes=5, min_slice_outcomes=2)
    verdict = evaluate_gate(evidence, bounds, seed)
    assert verdict == evaluate_gate(evidence, bounds, seed)
    assert verdict.passed == (not verdict.reasons)
    assert all(isfinite(value) for value in verdict.metrics.values())
    assert to_event(verdict).metrics == verdict.metrics


def to_event(verdict: GateVerdict) -> ModelEvaluated:
    event = ModelEvaluated(
        task="ocr",
        run_id="1",
        model=ModelRef(name="ocr", version="2"),
        dataset="hash",
        metrics=verdict.metrics,
        passed=verdict.passed,
        reasons=verdict.reasons,
    )
    return ModelEvaluated.decode(event.model_dump_json().encode(), 1)
