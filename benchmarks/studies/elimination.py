"""Eliminate simulated candidates that are shadows at the same time: `python -m benchmarks.studies.elimination`.

Requests come from keys with Zipf traffic, in sessions of one key. All versions find the same requests hard, and each
version suits some keys better than others, so that scores depend on each other between versions and within a key. Each
campaign is decided by `app.retraining.rollout.elimination.eliminate` with the default plan, looked at as the controller
does. A wrong winner is worse than the best candidate by more than is tolerated. The table counts these, and the
campaigns that were decided before the end of the step, and gives the labels until the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from app.retraining.rollout.elimination import Elimination, ShadowScores, eliminate
from app.settings.rollout import RolloutSettings
from models.off_policy import Floats

CHAMPION_SCORE = 0.75
BETWEEN_KEYS = 0.1
"""The standard deviation of how hard the keys are, for all versions."""
SUITS_KEYS = 0.05
"""The standard deviation of how well a version suits a key, beside others."""
OWN_NOISE = 0.1
"""The share of requests that a version answers as if it had not seen what makes them hard."""
SESSION = 5.0
"""The mean number of requests of one key in a row."""
FIRST_LOOK, LOOK_GROWTH = 50, 1.2
"""In labels."""


@dataclass(frozen=True)
class Scenario:
    """Traffic and candidates."""

    gains: tuple[float, ...]
    """By how much each candidate's mean score is above the champion's."""
    keys: int = 2000
    labels: int = 5000
    """The labels of the whole step."""
    new_keys: bool = False
    """Whether each session is of another key, which never comes again."""


@dataclass(frozen=True)
class Ending:
    """The end of a campaign."""

    regret: float
    """The mean score of the best candidate less that of the winner; that of the champion if none is left."""
    labels: int
    in_time: bool
    """Whether it was decided before the end of the step."""
    eliminated_best: bool
    """Whether a candidate was eliminated than which none, nor the champion, is better by more than is tolerated."""


def _sessions(scenario: Scenario, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Return the key of each request, and the share of the requests that each key has in the long run."""
    lengths = rng.geometric(1 / SESSION, scenario.labels)
    shares = 1 / np.arange(1, scenario.keys + 1)
    shares /= shares.sum()
    drawn = np.arange(scenario.labels) if scenario.new_keys else rng.choice(scenario.keys, scenario.labels, p=shares)
    return np.repeat(drawn, lengths)[: scenario.labels], shares


def draw(scenario: Scenario, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return the scores of 0 or 1 (labels, versions), the keys (labels,) and the true mean scores (versions,)."""
    keys, shares = _sessions(scenario, rng)
    number = scenario.labels if scenario.new_keys else scenario.keys
    means = CHAMPION_SCORE + np.array([0.0, *scenario.gains])
    suits = SUITS_KEYS * rng.standard_normal((number, len(means)))
    rights = np.clip(means + BETWEEN_KEYS * rng.standard_normal((number, 1)) + suits, 0, 1)
    truth = rights.mean(axis=0) if scenario.new_keys else shares @ rights
    own = rng.random((scenario.labels, len(means))) < OWN_NOISE
    hard = np.where(own, rng.random(own.shape), rng.random((scenario.labels, 1)))
    return (hard < rights[keys]).astype(float), keys, truth


def run_campaign(scenario: Scenario, plan: RolloutSettings, seed: int) -> Ending:
    """Return how a campaign ends."""
    scores, keys, truth = draw(scenario, np.random.default_rng(seed))
    candidates = tuple(str(number) for number in range(2, 2 + len(scenario.gains)))
    names = [str(key) for key in keys]
    seen, dropped = FIRST_LOOK, set[str]()
    while True:
        seen = min(seen, scenario.labels)
        minutes = plan.max_minutes * seen / scenario.labels
        result: Elimination = eliminate(ShadowScores("1", candidates, scores[:seen], names[:seen], minutes), plan)
        dropped |= result.eliminated.keys()
        if result.is_decided:
            break
        seen = int(seen * LOOK_GROWTH)
    true = dict(zip(("1", *candidates), truth.tolist(), strict=True))
    best = max(true[candidate] for candidate in candidates)
    winner = true[result.remaining[0]] if result.remaining else true["1"]
    good = {candidate for candidate in candidates if true[candidate] >= max(true.values()) - plan.max_score_loss}
    return Ending(best - winner, seen, seen < scenario.labels, bool(good & dropped))


SCENARIOS = {
    "one is better": (0.08, 0.0, 0.0),
    "a ladder": (0.0, 0.02, 0.04, 0.06, 0.08),
    "the best is just better": (0.025, 0.0, 0.0, 0.0),
    "all equal": (0.03, 0.03, 0.03, 0.03),
    "two are worse than the champion": (0.03, -0.08, -0.15),
}

HEADER = (
    "| candidates' gains | keys | labels | wrong winner | a good one eliminated | before the end |"
    " labels until then, median |\n|---|---|---:|---:|---:|---:|---:|"
)


def _row(scenario: Scenario, plan: RolloutSettings, runs: int) -> str:
    endings = [run_campaign(scenario, plan, seed) for seed in range(runs)]
    wrong = sum(ending.regret > plan.max_score_loss for ending in endings)
    eliminated = sum(ending.eliminated_best for ending in endings)
    early = [ending.labels for ending in endings if ending.in_time]
    keys = "new in each session" if scenario.new_keys else str(scenario.keys)
    gains = ", ".join(f"{gain:+g}" for gain in scenario.gains)
    return (
        f"| {gains} | {keys} | {scenario.labels} | {wrong / runs:.1%} | {eliminated / runs:.1%} |"
        f" {len(early) / runs:.0%} | {np.median(early) if early else '-'} |"
    )


def rows(runs: int, report: Callable[[str], None]) -> None:
    """Report a row of each scenario."""
    report(HEADER)
    plan = RolloutSettings()
    for gains in SCENARIOS.values():
        for traffic in (
            Scenario(gains, labels=1000),
            Scenario(gains),
            Scenario(gains, keys=50),
            Scenario(gains, keys=1, new_keys=True),
        ):
            report(_row(traffic, plan, runs))


def main(runs: Annotated[int, typer.Option(min=1, help="Campaigns of each scenario.")] = 200) -> None:
    """Simulate, and print the table."""
    console = Console(soft_wrap=True, highlight=False)
    rows(runs, lambda line: console.print(line, markup=False))


if __name__ == "__main__":
    typer.run(main)
