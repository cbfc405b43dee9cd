"""How often off-policy intervals hold the truth: `python -m benchmarks.studies.off_policy_coverage`.

In each scenario a log is drawn many times: contexts of two kinds, three actions, a logging policy and another policy of
which all is known. An interval is silent if it misses the truth and no doubt is raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models import off_policy
from models.off_policy import Floats, Places
from models.policy_value import PolicyValue, policy_value, switch_doubt

LOGGING = (0.5, 0.3, 0.2)
TARGET = (0.2, 0.3, 0.5)
RARELY, MOSTLY = (0.9, 0.06, 0.04), (0.1, 0.1, 0.8)
"""A logging policy that rarely does what the policy mostly does: weights up to 20."""
THRESHOLD = 10.0
"""Of switch-dr, as `decision` has it."""


@dataclass(frozen=True)
class Scenario:
    """Logs of `count` decisions with these chances of a reward of 1 for each action, else 0.

    `entities` share the decisions, equally or by Zipf's law, and each has its own multiple of the chances.
    """

    name: str
    count: int
    chances: tuple[float, float, float]
    entities: int | None = None
    zipf: bool = False
    spread: float = 0.0
    """The standard deviation of the logarithm of an entity's multiple."""
    logging: tuple[float, float, float] = LOGGING
    target: tuple[float, float, float] = TARGET
    estimator: str = "snips"
    """`dr` and `switch-dr` have a reward model that expects the mean reward of every action."""

    @property
    def truth(self) -> float:
        """What a decision of the policy earns."""
        return float(np.array(self.target) @ np.array(self.chances))

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, Places]:
        """Return rewards, importance weights and clusters of one log."""
        clusters, multiples = np.arange(self.count), np.ones(self.count)
        if self.entities is not None:
            shares = 1 / np.arange(1, self.entities + 1) if self.zipf else np.ones(self.entities)
            clusters = rng.choice(self.entities, self.count, p=shares / shares.sum())
            multiples = rng.lognormal(-(self.spread**2) / 2, self.spread, self.entities)[clusters]
            _, clusters = np.unique(clusters, return_inverse=True)
        actions = rng.choice(3, self.count, p=self.logging)
        chances = np.array(self.chances)[actions] * multiples
        weights = np.array(self.target)[actions] / np.array(self.logging)[actions]
        return (rng.random(self.count) < chances).astype(np.float64), weights, clusters


MIDDLE, RARE = (0.2, 0.5, 0.6), (0.003, 0.005, 0.006)
SCENARIOS = (
    Scenario("rewards in the middle, n = 1,000", 1_000, MIDDLE),
    Scenario("rewards in the middle, n = 200", 200, MIDDLE),
    Scenario("base rate 0.5 %, n = 1,000", 1_000, RARE),
    Scenario("base rate 0.5 %, n = 200", 200, RARE),
    Scenario("base rate 0.5 %, n = 10,000", 10_000, RARE),
    Scenario("base rate 0.5 %, n = 30,000", 30_000, RARE),
    Scenario("base rate 3 %, n = 1,000", 1_000, (0.02, 0.03, 0.04)),
    Scenario("100 users, 20 decisions each", 2_000, (0.1, 0.2, 0.3), 100, False, 0.5),
    Scenario("40 users, 50 decisions each", 2_000, (0.1, 0.2, 0.3), 40, False, 0.5),
    Scenario("2,000 users by Zipf's law", 10_000, (0.1, 0.2, 0.3), 2_000, True, 0.5),
    Scenario("300 users by Zipf's law", 3_000, (0.1, 0.2, 0.3), 300, True, 0.5),
    Scenario("weights of 20, switch-dr", 5_000, MIDDLE, logging=RARELY, target=MOSTLY, estimator="switch-dr"),
    Scenario("weights of 20, dr", 5_000, MIDDLE, logging=RARELY, target=MOSTLY, estimator="dr"),
    Scenario("weights of 20, snips", 5_000, MIDDLE, logging=RARELY, target=MOSTLY),
)


@dataclass(frozen=True)
class Coverage:
    """Shares of a scenario's logs."""

    scenario: str
    covered: float
    doubted: float
    silent_misses: float
    """The interval misses the truth, and nothing is doubted."""


def value(rewards: Floats, weights: Floats, clusters: Places, estimator: str) -> PolicyValue:
    """Value the policy by a log, by this estimator and those it is compared with."""
    mean, estimates = np.full(len(rewards), rewards.mean()), {"snips": off_policy.snips(rewards, weights)}
    if estimator != "snips":
        estimates["dr"] = off_policy.doubly_robust(rewards, weights, mean, mean)
        estimates["switch-dr"] = off_policy.switch_dr(rewards, weights, mean, mean, THRESHOLD)
    return policy_value(off_policy.on_policy(rewards), estimates, weights, rewards, clusters, [""] * len(rewards))


def measure(scenario: Scenario, logs: int, seed: int) -> Coverage:
    """Draw logs and count."""
    rng, outcomes = np.random.default_rng(seed), list[tuple[bool, bool]]()
    for _ in range(logs):
        rewards, weights, clusters = scenario.draw(rng)
        found = value(rewards, weights, clusters, scenario.estimator)
        estimate = found.estimates[scenario.estimator]
        low, high = estimate.interval()
        doubted = bool(found.doubts)
        if scenario.estimator == "switch-dr":
            doubted = doubted or switch_doubt(estimate, weights, rewards, THRESHOLD) is not None
        outcomes.append((low <= scenario.truth <= high, doubted))
    covered, doubted_logs = np.array(outcomes).T
    shares = (covered, doubted_logs, ~covered & ~doubted_logs)
    return Coverage(scenario.name, *(float(column.mean()) for column in shares))


def measure_all(logs: int, seed: int = 0) -> Iterator[Coverage]:
    """Yield each scenario's coverage."""
    return (measure(scenario, logs, seed) for scenario in SCENARIOS)


def main() -> None:
    """Print the coverage of nominal 95 % intervals as a table."""
    print("| scenario | covered | doubted | missed without a doubt |\n|---|---:|---:|---:|")
    for found in measure_all(1_000):
        shares = (found.covered, found.doubted, found.silent_misses)
        print(f"| {found.scenario} | " + " | ".join(f"{share:.1%}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
