"""How often off-policy intervals of slates hold the truth: `python -m benchmarks.studies.slate_coverage`.

Slates of two of three actions, drawn one after the other. The second position earns half as much, and half of that
after the best action: a reward depends on what was shown before. As in `benchmarks.studies.off_policy_coverage`, users
have multiples of their own, so that their slates depend on one another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from benchmarks.studies.off_policy_coverage import LOGGING, TARGET, Coverage
from models.decision.off_policy import value_slates
from models.episodic_off_policy import Episodes, ReturnModel
from models.off_policy import Floats, Places

_LOGGED, _TARGET = np.array(LOGGING), np.array(TARGET)
CHANCES = np.array([0.1, 0.2, 0.3])


def _second(policy: Floats) -> Floats:
    """Return the probabilities of the second position, given the first: (3, 3)."""
    left = np.where(np.eye(3, dtype=bool), 0.0, policy)
    return np.asarray(left / left.sum(1, keepdims=True))


def _second_chances(first: Places, second: Places) -> Floats:
    return np.asarray(CHANCES[second] * np.where(first == CHANCES.argmax(), 0.25, 0.5))


TRUTH = sum(
    float(_TARGET[first] * _second(_TARGET)[first, second] * (CHANCES[first] + _second_chances(first, second)))
    for first, second in permutations(np.arange(3), 2)
)
"""What a slate of the policy earns."""


@dataclass(frozen=True)
class SlateScenario:
    """Logs of `count` slates that users share, equally or by Zipf's law."""

    name: str
    count: int
    users: int
    zipf: bool = False
    spread: float = 0.5
    """The standard deviation of the logarithm of a user's multiple."""

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, Places]:
        """Return rewards and importance weights (2 N,) of one log's positions, and the clusters of its slates, (N,)."""
        shares = 1 / np.arange(1, self.users + 1) if self.zipf else np.ones(self.users)
        clusters = rng.choice(self.users, self.count, p=shares / shares.sum())
        multiples = rng.lognormal(-(self.spread**2) / 2, self.spread, self.users)[clusters]
        first = rng.choice(3, self.count, p=_LOGGED)
        second = (rng.random((self.count, 1)) > np.cumsum(_second(_LOGGED), 1)[first]).sum(1)
        chances = np.stack([CHANCES[first], _second_chances(first, second)], 1) * multiples[:, None]
        ratio = _second(_TARGET)[first, second] / _second(_LOGGED)[first, second]
        weights = np.stack([(_TARGET / _LOGGED)[first], ratio], 1)
        rewards = (rng.random(chances.shape) < chances).astype(np.float64)
        return rewards.ravel(), weights.ravel(), np.unique(clusters, return_inverse=True)[1]


SCENARIOS = (
    SlateScenario("2,000 independent slates", 2_000, 20_000, spread=0.0),
    SlateScenario("100 users, 20 slates each", 2_000, 100),
    SlateScenario("2,000 users by Zipf's law, 10,000 slates", 10_000, 2_000, zipf=True),
)


def measure(scenario: SlateScenario, logs: int, seed: int) -> Coverage:
    """Draw logs and count how often nominal 95 % intervals of the self-normalised estimate hold the truth."""
    rng, outcomes = np.random.default_rng(seed), list[tuple[bool, bool]]()
    slates, none = Episodes.of([2] * scenario.count), np.zeros(2 * scenario.count)
    for _ in range(logs):
        rewards, weights, clusters = scenario.draw(rng)
        found = value_slates(slates, rewards, ReturnModel(weights, none, none), clusters, [""] * len(clusters))
        low, high = found.estimates["snips"].interval()
        outcomes.append((low <= TRUTH <= high, bool(found.doubts)))
    covered, doubted = np.array(outcomes).T
    return Coverage(scenario.name, *(float(column.mean()) for column in (covered, doubted, ~covered & ~doubted)))


def measure_all(logs: int, seed: int = 0) -> Iterator[Coverage]:
    """Yield each scenario's coverage."""
    return (measure(scenario, logs, seed) for scenario in SCENARIOS)


def main() -> None:
    """Print the coverage as a table."""
    print("| scenario | covered | doubted | missed without a doubt |\n|---|---:|---:|---:|")
    for found in measure_all(1_000):
        shares = (found.covered, found.doubted, found.silent_misses)
        print(f"| {found.scenario} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


if __name__ == "__main__":
    main()
