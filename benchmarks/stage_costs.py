"""CPU time for each event and stage: what a load costs beyond the platform at rest.

A stage is a process of the Procfile. `preprocess` is three: the Python process that supervises, Flink's JVM, and the
workers that run the tasks' code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.resource_usage import CoreUsage


@dataclass(frozen=True)
class StageCosts:
    """Milliseconds of CPU for each of `events` events, by stage, without what the platform takes at rest."""

    events: int
    by_stage: dict[str, float]

    @property
    def total(self) -> float:
        """Return the sum of all stages."""
        return sum(self.by_stage.values())


def cost_of_load(usages: Sequence[CoreUsage], rest: CoreUsage, events: int) -> StageCosts:
    """Return the costs of loads of so many events in all, each of which began and ended at rest."""
    seconds = dict.fromkeys((stage for usage in usages for stage in usage.by_process), 0.0)
    for usage in usages:
        for stage, cores in usage.by_process.items():
            seconds[stage] += (cores - rest.by_process.get(stage, 0.0)) * usage.seconds
    return StageCosts(events, {stage: busy * 1000 / events for stage, busy in seconds.items()})


def cores_at_rate(rest: CoreUsage, costs: StageCosts, rate: float) -> float:
    """Return the cores that the platform needs for so many events a second."""
    return rest.total + costs.total * rate / 1000
