"""The results of a run: measurements, ratios, and whether the targets are met."""

import statistics
from dataclasses import dataclass, field

from benchmarks.latency import Latency
from benchmarks.peer import PeerThroughput
from benchmarks.replay import ReplayComparison
from benchmarks.resource_usage import Memory
from benchmarks.runtime_limit import RuntimeLimit
from benchmarks.task_costs import TaskCost
from benchmarks.throughput import BacklogResult

TARGET_RATE = 200
MAX_P50_MS, MAX_P99_MS = 30.0, 100.0
MIN_LIMIT_RATIO = 0.5
MAX_MEMORY_MIB = 2560.0
MIN_CONSUMER_RATIO, MAX_SCAN_RATIO, MAX_REPLAY_MIB = 10.0, 3.0, 1024.0
MAX_OTHER_CORES = 0.15


@dataclass(frozen=True)
class Target:
    """A target: the measured value, the bound, and whether it is met."""

    name: str
    found: str
    aimed: str
    met: bool


@dataclass
class BenchmarkResults:
    """One run. Fields of parts that were not measured are None or empty."""

    machine: dict[str, str]
    load: str
    starts: dict[str, float] = field(default_factory=dict)
    """Seconds from `hindsight up` until ready."""
    at_rest: Memory | None = None
    after_load: Memory | None = None
    latency: list[Latency] = field(default_factory=list)
    saturated: list[BacklogResult] = field(default_factory=list)
    alone: list[PeerThroughput] = field(default_factory=list)
    limit: RuntimeLimit | None = None
    whole: ReplayComparison | None = None
    tasks: dict[str, TaskCost] = field(default_factory=dict)
    """The other tasks."""
    others: dict[str, float] = field(default_factory=dict)
    """Cores that other processes used during the other phases."""

    @property
    def disturbed_phases(self) -> dict[str, float]:
        """Return the phases in which other processes used so many cores that the figures are provisional."""
        loads = {f"{load.rate:g}/s": load.busy.others for load in self.latency if load.busy}
        backlogs = {f"backlog {number}": drain.busy.others for number, drain in enumerate(self.saturated, 1)}
        phases = loads | backlogs | self.others
        return {name: cores for name, cores in phases.items() if cores > MAX_OTHER_CORES}

    @property
    def throughput(self) -> float | None:
        """Return the median throughput of the backlogs."""
        return statistics.median(drain.per_second for drain in self.saturated) if self.saturated else None

    @property
    def median_drain(self) -> BacklogResult:
        """Return the backlog with the median throughput."""
        return sorted(self.saturated, key=lambda drain: drain.per_second)[(len(self.saturated) - 1) // 2]

    @property
    def peer(self) -> PeerThroughput | None:
        """Return the fastest of the one-at-a-time consumers."""
        return max(self.alone, key=lambda peer: peer.per_second, default=None)

    @property
    def ratios(self) -> dict[str, float]:
        """Return the throughput of the saturated platform as a share of the limit's and of the peer's."""
        if self.throughput is None:
            return {}
        ratios = {}
        if self.limit:
            ratios["saturated / limit"] = self.throughput / self.limit.best.per_second
        if self.peer:
            ratios["saturated / one at a time"] = self.throughput / self.peer.per_second
        if self.limit:
            ratios["saturated / limit with preprocessing and decoding"] = self.throughput / self.limit.whole
        return ratios

    @property
    def targets(self) -> list[Target]:
        """Return the targets of the parts that this run has measured."""
        targets = []
        for load in self.latency:
            if load.rate == TARGET_RATE:
                for name, ms, bound in (("p50", load.total.p50, MAX_P50_MS), ("p99", load.total.p99, MAX_P99_MS)):
                    met = ms < bound and not load.unanswered and not load.failed
                    targets.append(
                        Target(f"latency {name} at {TARGET_RATE}/s", f"{ms:.1f} ms", f"< {bound:.0f} ms", met)
                    )
        if (ratio := self.ratios.get("saturated / limit")) is not None:
            targets.append(
                Target("saturated / limit", f"{ratio:.2f}", f">= {MIN_LIMIT_RATIO}", ratio >= MIN_LIMIT_RATIO)
            )
        if (ratio := self.ratios.get("saturated / one at a time")) is not None:
            targets.append(Target("saturated / one at a time", f"{ratio:.2f}", "> 1", ratio > 1))
        if self.at_rest:
            total = self.at_rest.total
            met = total < MAX_MEMORY_MIB
            targets.append(Target("memory at rest", f"{total / 1024:.2f} GiB {self.at_rest.kind}", "< 2.5 GiB", met))
        if self.whole:
            targets += _replay_targets(self.whole)
        return targets


def _replay_targets(comparison: ReplayComparison) -> list[Target]:
    speed, time, mib = comparison.consumer_ratio, comparison.scan_ratio, comparison.readings["replay"].peak_mib
    return [
        Target(
            "replay / consumer of Kafka, speed",
            f"{speed:.1f}",
            f">= {MIN_CONSUMER_RATIO:g}",
            speed >= MIN_CONSUMER_RATIO,
        ),
        Target("replay / scan by DuckDB, time", f"{time:.1f}", f"<= {MAX_SCAN_RATIO:g}", time <= MAX_SCAN_RATIO),
        Target("memory of replay, peak", f"{mib:.0f} MiB", f"< {MAX_REPLAY_MIB:.0f} MiB", mib < MAX_REPLAY_MIB),
    ]
