"""Roll out simulated candidates to keys that differ: `python -m benchmarks.studies.rollouts`.

Requests come from keys with Zipf traffic, whose mean scores have a standard deviation of 0.1. Each rollout is decided
by `app.retraining.rollout.policy.decide` with the default plan, looked at as the controller does. The candidate is
equal, or 0.05 worse. As a shadow it is compared on labels; a loss that only users see (such as in rewards) begins with
the canary. The table counts wrong rollbacks, wrong advances (to a share at which the loss, times the share, is more
than is tolerated), and gives the time to the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from app.retraining.rollout.comparison import Arm, RolloutEvidence
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, RolloutDecision, decide
from app.settings.rollout import RolloutSettings
from app.statistics.clusters import ClusterSums, known_deviations
from app.statistics.histogram import Histogram
from models.off_policy import Floats

BETWEEN_KEYS = 0.1
"""The standard deviation of the keys' mean scores."""
MEAN_SCORE = 0.8
DISAGREEMENTS = 0.03
"""The share of requests that an equal candidate answers differently, right or wrong as often as the champion."""
HISTORY_MINUTES = 24 * 60
"""The champion's time before the rollout, with as many scores."""
FIRST_LOOK_MINUTES, LOOK_GROWTH = 2.0, 1.05
_LATENCIES_MS = 20 * np.exp(0.3 * np.linspace(-3, 3, 61))
_LATENCY_SHARES = np.exp(-np.square(np.linspace(-3, 3, 61)) / 2) / np.exp(-np.square(np.linspace(-3, 3, 61)) / 2).sum()

Counts = Floats


@dataclass(frozen=True)
class Scenario:
    """Traffic and a candidate."""

    keys: int
    loss: float = 0.0
    labelled: float = 1.0
    """The share of requests with a score."""
    requests_a_minute: float = 100.0
    in_shadow: bool = True
    """Whether the loss is seen on the labels that compare the shadow with the champion; otherwise there are none."""


@dataclass(frozen=True)
class Ending:
    """The end of a rollout."""

    stages: tuple[float, ...]
    """The shares, of which the last is 0 after a rollback."""
    minutes: float
    reason: str


class Keys:
    """The traffic and the mean scores of the keys of one rollout."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        shares = 1 / np.arange(1, scenario.keys + 1)
        self.per_minute = scenario.requests_a_minute * shares / shares.sum()
        self.means = np.clip(MEAN_SCORE + BETWEEN_KEYS * rng.standard_normal(scenario.keys), 0, 1)
        self.hashes = rng.random(scenario.keys)
        """As `app.registry.routes.hash_fraction`: keys below the share have the canary."""
        self.history = _Sums(scenario.keys)
        self.history.add(rng, rng.poisson(self.per_minute * scenario.labelled * HISTORY_MINUTES), self.means)


class _Sums:
    """Scores of 0 and 1 by key."""

    def __init__(self, keys: int) -> None:
        self.counts, self.sums = np.zeros(keys), np.zeros(keys)

    def add(self, rng: np.random.Generator, counts: NDArray[Any], means: Floats) -> None:
        self.counts += counts
        self.sums += rng.binomial(counts.astype(np.int64), np.clip(means, 0, 1))

    def of_keys(self) -> ClusterSums:
        seen = np.flatnonzero(self.counts)
        sums = self.sums[seen]
        return ClusterSums(tuple(map(str, seen)), self.counts[seen], sums, sums, np.ones(len(seen)))

    def of_requests(self) -> ClusterSums:
        """Return all scores as one cluster, as they are summed if each request is assigned by itself."""
        total, score = self.counts.sum(), self.sums.sum()
        return ClusterSums.of([("all", total, score, score)] if total else [])


def run_rollout(scenario: Scenario, plan: RolloutSettings, seed: int, start: float = SHADOW_SHARE) -> Ending:
    """Return how a rollout ends that begins at this share."""
    rng = np.random.default_rng(seed)
    keys, stages, minutes, reason = Keys(scenario, rng), [start], 0.0, ""
    while stages[-1] != CHAMPION_SHARE:
        step = _shadow_looks if stages[-1] == SHADOW_SHARE else _canary_looks
        for observed in step(scenario, plan, keys, stages[-1], rng):
            decision: RolloutDecision = decide(stages[-1], observed, plan)
            if decision.action != "stay":
                break
        minutes, reason = minutes + observed.minutes, decision.reason
        stages.append(decision.share)
        if decision.action == "roll back":
            break
    return Ending(tuple(stages), minutes, reason)


def _looks(plan: RolloutSettings) -> Iterator[tuple[float, float]]:
    """Yield the time of each look, and the time since the look before."""
    before, now = 0.0, FIRST_LOOK_MINUTES
    while before < plan.max_minutes:
        now = min(now, plan.max_minutes)
        yield now, now - before
        before, now = now, max(now * LOOK_GROWTH, now + 0.5)


def _arm(rng: np.random.Generator, answers: int, scores: ClusterSums) -> Arm:
    return Arm(answers, 0, scores, Histogram(_LATENCIES_MS, rng.multinomial(answers, _LATENCY_SHARES).astype(float)))


def _shadow_looks(
    scenario: Scenario, plan: RolloutSettings, keys: Keys, share: float, rng: np.random.Generator
) -> Iterator[RolloutEvidence]:
    losses, answers, nothing = np.empty(0), 0, ClusterSums.of([])
    better, worse = DISAGREEMENTS / 2, DISAGREEMENTS / 2 + scenario.loss
    for minutes, duration in _looks(plan):
        requests = int(rng.poisson(scenario.requests_a_minute * duration))
        answers += requests
        labelled = int(rng.binomial(requests, scenario.labelled)) if scenario.in_shadow else 0
        drawn = rng.choice([1.0, -1.0, 0.0], labelled, p=[worse, better, 1 - worse - better])
        losses = np.concatenate((losses, drawn))
        yield RolloutEvidence(_arm(rng, answers, nothing), _arm(rng, answers, nothing), minutes, losses=losses)


def _canary_looks(
    scenario: Scenario, plan: RolloutSettings, keys: Keys, share: float, rng: np.random.Generator
) -> Iterator[RolloutEvidence]:
    by_key = plan.assignment == "key"
    candidate_shares = (keys.hashes < share).astype(float) if by_key else np.full(scenario.keys, share)
    candidate, champion, answers = _Sums(scenario.keys), _Sums(scenario.keys), np.zeros(2, np.int64)
    deviations = known_deviations(keys.history.of_keys()) if by_key else {}
    for minutes, duration in _looks(plan):
        arrivals = rng.poisson(keys.per_minute * duration)
        own = rng.binomial(arrivals, candidate_shares)
        answers += own.sum(), (arrivals - own).sum()
        candidate.add(rng, rng.binomial(own, scenario.labelled), keys.means - scenario.loss)
        champion.add(rng, rng.binomial(arrivals - own, scenario.labelled), keys.means)
        scores = [arm.of_keys().less(deviations) if by_key else arm.of_requests() for arm in (candidate, champion)]
        arms = [_arm(rng, int(count), score) for count, score in zip(answers, scores, strict=True)]
        yield RolloutEvidence(arms[0], arms[1], minutes)


def is_wrong_advance(ending: Ending, scenario: Scenario, plan: RolloutSettings) -> bool:
    """Return whether the candidate got a share at which its loss is more than tolerated."""
    return max(ending.stages) * scenario.loss > plan.max_score_loss


def _row(name: str, scenario: Scenario, plan: RolloutSettings, endings: list[Ending]) -> str:
    rolled_back = sum(ending.stages[-1] == SHADOW_SHARE for ending in endings)
    advanced = sum(is_wrong_advance(ending, scenario, plan) for ending in endings)
    promoted = sum(ending.stages[-1] == CHAMPION_SHARE for ending in endings)
    hours = np.median([ending.minutes for ending in endings]) / 60
    return (
        f"| {name} | {scenario.keys} | {scenario.labelled:.0%} | {scenario.loss:g} | {rolled_back} | {promoted} |"
        f" {advanced if scenario.loss else ''} | {hours:.1f} |"
    )


HEADER = (
    "| rollout | keys | scored | loss | rolled back | promoted | wrong advances | median hours |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|"
)


def rows(runs: int, report: Callable[[str], None]) -> None:
    """Report a row of each scenario."""
    report(HEADER)
    for name, assignment, start in (
        ("from the shadow, by key", "key", SHADOW_SHARE),
        ("canary only, by key", "key", 0.05),
        ("canary only, by request", "request", 0.05),
    ):
        plan = RolloutSettings.model_validate({"assignment": assignment})
        for keys in (50, 200, 2000):
            for labelled in (1.0, 0.1):
                for loss in (0.0, 0.05):
                    scenario = Scenario(keys, loss, labelled)
                    report(
                        _row(name, scenario, plan, [run_rollout(scenario, plan, seed, start) for seed in range(runs)])
                    )


def main(runs: Annotated[int, typer.Option(min=1, help="Rollouts of each scenario.")] = 100) -> None:
    """Simulate, and print the table."""
    console = Console(soft_wrap=True, highlight=False)
    rows(runs, lambda line: console.print(line, markup=False))


if __name__ == "__main__":
    typer.run(main)
