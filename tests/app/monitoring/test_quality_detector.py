"""Evidence for a fall of the score, over windows of independent and of dependent scores."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference, log_evidence, pool_reference
from models.off_policy import Floats

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALPHA = 1e-4
REFERENCE = 0.9


def make_window(
    scores: Sequence[float], keys: Sequence[str | None] | None = None, rate: float = 1.0
) -> QualityEstimate:
    rows = zip(scores, keys or [None] * len(scores), strict=True)
    outcomes = [ScoredOutcome(NOON, score, "audit", rate, key=key) for score, key in rows]
    return estimate_quality(outcomes, round(len(outcomes) / rate))


def windows(share: float, seed: int, labelled: int = 100) -> Iterator[QualityEstimate]:
    """Yield windows of independent scores, of which this share is right."""
    rng = np.random.default_rng(seed)
    while True:
        yield make_window((rng.random(labelled) < share).astype(float).tolist())


def keyed_windows(seed: int, *, lasting: bool, labelled: int = 100) -> Iterator[QualityEstimate]:
    """Yield windows of Zipf's keys, whose shares of right answers have a deviation of 0.1: 0.9 on average.

    Each window has other keys, or all have the same.
    """
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 41)
    shares /= shares.sum()

    def draw_right() -> Floats:
        right = rng.beta(7.2, 0.8, 40)  # mean 0.9, deviation 0.1
        return right - (shares @ right - REFERENCE) if lasting else right

    right = draw_right()
    for _ in count():
        keys = rng.choice(40, labelled, p=shares)
        right = right if lasting else draw_right()
        scores = (rng.random(labelled) < right[keys]).astype(float)
        yield make_window(scores.tolist(), [str(key) for key in keys])


def chance(window: QualityEstimate, reference: float) -> float:
    """Return 1 / evidence of a single window."""
    return float(np.exp(-log_evidence([window], reference, ALPHA)))


def run_length(stream: Iterator[QualityEstimate], alpha: float, limit: int, tolerated: float = REFERENCE) -> int:
    """Return the number of windows until the first alarm, `limit` without one."""
    past = list[QualityEstimate]()
    for window in islice(stream, limit):
        past.append(window)
        if log_evidence(past[-60:], tolerated, alpha) >= -np.log(alpha):
            break
    return len(past)


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98])
def test_the_evidence_of_a_window_is_valid_however_skewed_the_scores_are(rate: float) -> None:
    chances = [chance(next(windows(rate, seed, 400)), rate) for seed in range(1000)]
    assert np.mean([one <= 0.02 for one in chances]) <= 0.02


def test_a_slow_fall_is_found_over_windows_and_not_in_any_alone() -> None:
    """From 0.90 to 0.85, with 100 labels in each window and a tolerance of 0.01."""
    delays = [run_length(windows(0.85, seed), ALPHA, 60, 0.89) for seed in range(12)]
    assert max(delays) < 60
    assert np.median(delays) < 30
    alone = [chance(window, 0.89) for seed in range(12) for window in islice(windows(0.85, seed), 20)]
    assert min(alone) > ALPHA


STEADY = {
    "independent": lambda seed: windows(REFERENCE, seed),
    "other keys in each window": lambda seed: keyed_windows(seed, lasting=False),
    "the same keys in all": lambda seed: keyed_windows(seed, lasting=True),
}


@pytest.mark.parametrize("make", STEADY.values(), ids=STEADY)
def test_the_average_run_length_is_at_least_1_over_alpha(make: object) -> None:
    """Alarms in windows of 60 beside 1 / 20 for each: an average of at least 20, of the lengths cut at 60."""
    lengths = [run_length(make(seed), 1 / 20, 60) for seed in range(25)]  # type: ignore[operator]
    assert np.mean(lengths) >= 20


def test_evidence_begins_anew_with_the_first_healthy_window_after_an_alarm() -> None:
    fallen, well = make_window([0.0] * 100), make_window([1.0] * 100)
    assert log_evidence([fallen], REFERENCE, ALPHA) > 10
    assert log_evidence([fallen, well], REFERENCE, ALPHA) == -np.inf
    assert log_evidence([fallen, well, fallen], REFERENCE, ALPHA) == log_evidence([fallen], REFERENCE, ALPHA)


def test_many_falls_of_one_key_are_less_evidence_than_of_many_keys() -> None:
    scores = [0.0, 1.0] * 50
    apart, together = make_window(scores), make_window(scores, ["ada"] * 100)
    assert chance(apart, REFERENCE) < 1e-6 < chance(together, REFERENCE)


def test_windows_without_labels_are_no_evidence() -> None:
    assert log_evidence([make_window([])] * 3, REFERENCE, ALPHA) == pytest.approx(np.log(3))


@given(st.lists(st.lists(st.floats(-1, 1), max_size=5), min_size=1, max_size=4), st.floats(-1, 1), st.floats(0, 1))
def test_a_higher_reference_is_more_evidence(rows: list[list[float]], reference: float, more: float) -> None:
    """Of windows between which no alarm was."""
    past = [make_window(scores) for scores in rows]
    low, high = (log_evidence(past, one, 1e-300) for one in (reference - more, reference))
    assert np.isfinite(low)
    if len(past) == 1 and more == 0:
        assert low == high


# The reference


def test_the_reference_is_the_weighted_mean_with_its_standard_error() -> None:
    scores = (np.random.default_rng(0).random(1000) < REFERENCE).astype(float).tolist()
    reference = pool_reference([make_window(scores[:400], rate=0.1), make_window(scores[400:], rate=0.1)])
    assert reference is not None
    assert reference.score == pytest.approx(np.mean(scores))
    assert reference.standard_error == pytest.approx(np.std(scores) / np.sqrt(1000), rel=0.01)
    assert reference.labelled == 1000


def test_the_error_of_a_reference_of_few_keys_is_larger() -> None:
    scores = [0.0] * 50 + [1.0] * 50
    apart, together = (pool_reference([make_window(scores, keys)]) for keys in (None, ["a"] * 50 + ["b"] * 50))
    assert apart is not None
    assert together is not None
    assert together.standard_error > 5 * apart.standard_error


def test_the_tolerance_is_at_least_the_error_of_the_reference() -> None:
    assert QualityReference(0.9, 0.001).tolerated(0.01) == pytest.approx(0.89)
    assert QualityReference(0.9, 0.03).tolerated(0.01) == pytest.approx(0.84)


def test_equal_scores_do_not_make_a_reference_exact() -> None:
    reference = pool_reference([make_window([1.0] * 50)])
    assert reference is not None
    assert reference.tolerated(0.01) == pytest.approx(0.96)


def test_there_is_no_reference_without_labels() -> None:
    assert pool_reference([make_window([])]) is None
