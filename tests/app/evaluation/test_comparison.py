"""Comparisons over time and by slice, on made evidence whose truth is known."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from app.evaluation.comparison import MAX_SLICES, MAX_SPANS, PairedEvidence, compare
from models.contributions import Contributions
from models.off_policy import Floats
from tests.support.datasets import START

LOGGING = np.array([0.5, 0.3, 0.2])
CANDIDATE, CHAMPION = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.2, 0.2])
CHANCES = np.array([0.1, 0.2, 0.3])
GAIN = float((CANDIDATE - CHAMPION) @ CHANCES)


def decisions(count: int, seed: int, entities: int | None = None, spread: float = 0.0) -> PairedEvidence:
    """Logged decisions, a minute apart, of users with their own multiples of the chances; two apps take turns."""
    rng = np.random.default_rng(seed)
    clusters = np.arange(count) if entities is None else rng.integers(entities, size=count)
    multiples = rng.lognormal(-(spread**2) / 2, spread, count if entities is None else entities)[clusters]
    actions = rng.choice(3, count, p=LOGGING)
    rewards = (rng.random(count) < CHANCES[actions] * multiples).astype(np.float64)
    _, numbers = np.unique(clusters, return_inverse=True)

    def contributions(policy: Floats) -> Contributions:
        weights, ids = (policy / LOGGING)[actions], np.arange(count).astype(np.str_)
        return Contributions(ids, weights * rewards, weights, weights, rewards, numbers)

    times = [START + timedelta(minutes=number) for number in range(count)]
    apps = {"request_source": [f"app {number % 2}" for number in range(count)]}
    return PairedEvidence(contributions(CANDIDATE), contributions(CHAMPION), times, apps, "decision", "snips")


def outcomes(candidate: Floats, champion: Floats, confidence: list[str] | None = None) -> PairedEvidence:
    """Audited scores of both versions, each outcome of its own entity."""
    ones, ids = np.ones(len(candidate)), np.arange(len(candidate)).astype(np.str_)
    own, other = (
        Contributions(ids, scores, ones, ones, scores, np.arange(len(ids))) for scores in (candidate, champion)
    )
    times = [START + timedelta(hours=number) for number in range(len(ids))]
    columns = {} if confidence is None else {"confidence": confidence}
    return PairedEvidence(own, other, times, columns, "outcome", "score")


def test_spans_have_equal_counts_in_the_order_of_time_and_cover_all() -> None:
    found = compare(decisions(3_000, 1))
    assert 2 <= len(found.over_time) <= MAX_SPANS
    assert sum(part.count for part in found.over_time) == found.total.count == 3_000
    assert max(part.count for part in found.over_time) - min(part.count for part in found.over_time) <= 1
    ends = [(part.start, part.end) for part in found.over_time]
    assert all(end < start for (_, end), (start, _) in pairwise(ends) if end and start)


@pytest.mark.parametrize(("count", "spans"), [(100, 1), (1_000, 4), (100_000, MAX_SPANS)])
def test_there_are_as_many_spans_as_the_evidence_carries(count: int, spans: int) -> None:
    found = compare(decisions(count, 2))
    assert len(found.over_time) == pytest.approx(spans, abs=2 * (count == 1_000))
    doubted = [part for part in found.over_time if part.doubts]
    assert not doubted if count >= 1_000 else doubted, "a span without a doubt has enough evidence"


def test_the_intervals_of_all_differences_hold_at_once_for_users_with_many_decisions() -> None:
    wrong, logs = 0, 120
    for seed in range(logs):
        found = compare(decisions(1_500, seed, entities=150, spread=0.5))
        parts = [*found.over_time, *found.slices[0].parts]
        assert found.simultaneous == len(parts) >= 3
        wrong += any(not part.difference[1] <= GAIN <= part.difference[2] for part in parts if part.difference)
    assert wrong / logs <= 0.1, "5 % of 120, and two and a half standard errors"


def test_a_version_and_itself_differ_by_nothing_in_every_part() -> None:
    evidence = decisions(1_000, 3)
    found = compare(replace(evidence, candidate=evidence.champion))
    assert {part.difference for part in (found.total, *found.over_time, *found.slices[0].parts)} == {(0.0, 0.0, 0.0)}
    assert found.total.doubts == ()


def test_the_total_has_an_interval_of_its_own_and_parts_have_wider_ones_than_alone() -> None:
    evidence = decisions(2_000, 4)
    every, one = compare(evidence), compare(replace(evidence, columns={}), over_time=False)
    assert (one.simultaneous, one.over_time, one.slices) == (0, (), ())
    assert every.total == one.total
    wide = compare(replace(evidence, columns={**evidence.columns, "again": evidence.columns["request_source"]}))
    (_, low, _), (_, wider, _) = (found.slices[0].parts[0].difference or (0.0, 0.0, 0.0) for found in (every, wide))
    assert wider < low, "more parts, wider intervals"


def test_the_largest_slices_are_shown_and_the_others_counted() -> None:
    evidence = decisions(2_000, 5)
    names = [f"app {min(number % 40, number % 20)}" for number in range(2_000)]
    [slices] = compare(replace(evidence, columns={"app": names})).slices
    assert (len(slices.parts), slices.left_out) == (MAX_SLICES, 20 - MAX_SLICES)
    assert all(part.doubts for part in slices.parts), "100 decisions are too few for a slice"


def test_few_outcomes_are_doubted_and_do_not_make_spans() -> None:
    found = compare(outcomes(np.resize([1.0, 0.0], 12), np.resize([0.0, 1.0, 0.0], 12)))
    assert len(found.over_time) == 1
    assert "12 outcomes of 12 entities are too few: 20" in found.total.doubts[0]
    enough = compare(outcomes(np.resize([1.0, 1.0, 0.0], 300), np.resize([0.0, 1.0], 300)))
    assert (len(enough.over_time), enough.total.doubts) == (10, ())
    assert enough.evidence == "outcomes"


@pytest.mark.parametrize(("differing", "doubted"), [(0, True), (2, True), (40, False)])
def test_equal_scores_do_not_show_that_versions_are_equal(differing: int, doubted: bool) -> None:
    champion = np.full(200, 0.5)
    gains = np.where(np.arange(200) < differing, np.resize([0.5, -0.5], 200), 0.0)
    found = compare(outcomes(champion + gains, champion))
    assert any(f"differ on {differing} of 200" in doubt for doubt in found.total.doubts) == doubted


def test_a_part_of_one_entity_has_no_interval() -> None:
    bands = ["0.5 to 0.8", *["0.8 to 0.95"] * 59]
    [slices] = compare(outcomes(np.resize([1.0, 0.0], 60), np.zeros(60), bands)).slices
    assert [part.slice for part in slices.parts] == ["0.8 to 0.95", "0.5 to 0.8"]
    assert slices.parts[1].difference is None
    assert slices.parts[1].doubts


def test_weights_that_are_no_numbers_give_doubts_instead_of_values() -> None:
    evidence = decisions(200, 6)
    weights = np.where(np.arange(200) == 7, np.nan, 1.0)
    broken = replace(evidence.candidate, weights=weights, added=weights, mass=weights)
    total = compare(replace(evidence, candidate=broken)).total
    assert (total.candidate, total.difference) == (None, None)
    assert "no finite numbers" in total.doubts[0]
