"""How often off-policy intervals hold the truth: `python -m benchmarks.studies.off_policy_coverage`.

In each scenario a log is drawn many times: contexts of two kinds, three actions, a logging policy and another policy of
which all is known. An interval is silent if it misses the truth and no doubt is raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models import off_policy
from models.off_policy import Floats, Places
from models.policy_value import PolicyValue, policy_value

LOGGING = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.2, 0.3, 0.5])


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

    @property
    def truth(self) -> float:
        """What a decision of the policy earns."""
        return float(TARGET @ np.array(self.chances))

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, Places]:
        """Return rewards, importance weights and clusters of one log."""
        clusters, multiples = np.arange(self.count), np.ones(self.count)
        if self.entities is not None:
            shares = 1 / np.arange(1, self.entities + 1) if self.zipf else np.ones(self.entities)
            clusters = rng.choice(self.entities, self.count, p=shares / shares.sum())
            multiples = rng.lognormal(-(self.spread**2) / 2, self.spread, self.entities)[clusters]
            _, clusters = np.unique(clusters, return_inverse=True)
        actions = rng.choice(3, self.count, p=LOGGING)
        chances = np.array(self.chances)[actions] * multiples
        return (rng.random(self.count) < chances).astype(np.float64), TARGET[actions] / LOGGING[actions], clusters


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
)


@dataclass(frozen=True)
class Coverage:
    """Shares of a scenario's logs."""

    scenario: str
    covered: float
    doubted: float
    silent_misses: float
    """The interval misses the truth, and nothing is doubted."""


def value(rewards: Floats, weights: Floats, clusters: Places) -> PolicyValue:
    """Value the policy by a log."""
    estimates = {"snips": off_policy.snips(rewards, weights)}
    return policy_value(off_policy.on_policy(rewards), estimates, weights, rewards, clusters)


def measure(scenario: Scenario, logs: int, seed: int) -> Coverage:
    """Draw logs and count."""
    rng, outcomes = np.random.default_rng(seed), list[tuple[bool, bool]]()
    for _ in range(logs):
        found = value(*scenario.draw(rng))
        low, high = found.estimate.interval()
        outcomes.append((low <= scenario.truth <= high, bool(found.doubts)))
    covered, doubted = np.array(outcomes).T
    return Coverage(scenario.name, *(float(column.mean()) for column in (covered, doubted, ~covered & ~doubted)))


def measure_all(logs: int, seed: int = 0) -> Iterator[Coverage]:
    """Yield each scenario's coverage."""
    return (measure(scenario, logs, seed) for scenario in SCENARIOS)


def main() -> None:
    """Print the coverage of nominal 95 % intervals as a table."""
    print("| scenario | covered | doubted | missed without a doubt |\n|---|---:|---:|---:|")
    for found in measure_all(2_000):
        shares = (found.covered, found.doubted, found.silent_misses)
        print(f"| {found.scenario} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
