"""What one run has measured, its ratios, and whether it is what we aim at."""

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
    """One thing we aim at: what was found, what was aimed at, and whether it is met."""

    name: str
    found: str
    aimed: str
    met: bool


@dataclass
class BenchmarkResults:
    """One run; what was left out is None or empty."""

    machine: dict[str, str]
    load: str
    starts: dict[str, float] = field(default_factory=dict)
    """Seconds from `hindsight up` to ready."""
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
    """Cores that others used during the rest of the phases."""

    @property
    def disturbed_phases(self) -> dict[str, float]:
        """The phases in which others used so much of the machine that the figures are provisional."""
        found = {f"{one.rate:g}/s": one.busy.others for one in self.latency if one.busy}
        found |= {f"backlog {number}": drain.busy.others for number, drain in enumerate(self.saturated, 1)}
        return {name: cores for name, cores in (found | self.others).items() if cores > MAX_OTHER_CORES}

    @property
    def throughput(self) -> float | None:
        """Saturated: the median of the backlogs."""
        return statistics.median(drain.per_second for drain in self.saturated) if self.saturated else None

    @property
    def median_drain(self) -> BacklogResult:
        """The backlog that stands for all."""
        return sorted(self.saturated, key=lambda drain: drain.per_second)[(len(self.saturated) - 1) // 2]

    @property
    def peer(self) -> PeerThroughput | None:
        """The better of the one-at-a-time consumers."""
        return max(self.alone, key=lambda one: one.per_second, default=None)

    @property
    def ratios(self) -> dict[str, float]:
        """What the saturated platform does of what others do."""
        if self.throughput is None:
            return {}
        found = {}
        if self.limit:
            found["saturated / limit"] = self.throughput / self.limit.best.per_second
        if self.peer:
            found["saturated / one at a time"] = self.throughput / self.peer.per_second
        if self.limit:
            found["saturated / limit with preprocessing and decoding"] = self.throughput / self.limit.whole
        return found

    @property
    def targets(self) -> list[Target]:
        """Those that this run can tell."""
        aims = []
        for one in self.latency:
            if one.rate == TARGET_RATE:
                for name, value, bound in (("p50", one.total.p50, MAX_P50_MS), ("p99", one.total.p99, MAX_P99_MS)):
                    met = value < bound and not one.unanswered and not one.failed
                    aims.append(
                        Target(f"latency {name} at {TARGET_RATE}/s", f"{value:.1f} ms", f"< {bound:.0f} ms", met)
                    )
        if (of_limit := self.ratios.get("saturated / limit")) is not None:
            aims.append(
                Target("saturated / limit", f"{of_limit:.2f}", f">= {MIN_LIMIT_RATIO}", of_limit >= MIN_LIMIT_RATIO)
            )
        if (of_peer := self.ratios.get("saturated / one at a time")) is not None:
            aims.append(Target("saturated / one at a time", f"{of_peer:.2f}", "> 1", of_peer > 1))
        if self.at_rest:
            total = self.at_rest.total
            met = total < MAX_MEMORY_MIB
            aims.append(Target("memory at rest", f"{total / 1024:.2f} GiB {self.at_rest.kind}", "< 2.5 GiB", met))
        if self.whole:
            quick, slow, held = self.whole.consumer_ratio, self.whole.scan_ratio, self.whole.readings["replay"].peak_mib
            aims += [
                Target(
                    "replay / consumer of Kafka, speed",
                    f"{quick:.1f}",
                    f">= {MIN_CONSUMER_RATIO:g}",
                    quick >= MIN_CONSUMER_RATIO,
                ),
                Target(
                    "replay / scan by DuckDB, time", f"{slow:.1f}", f"<= {MAX_SCAN_RATIO:g}", slow <= MAX_SCAN_RATIO
                ),
                Target(
                    "memory of replay, peak", f"{held:.0f} MiB", f"< {MAX_REPLAY_MIB:.0f} MiB", held < MAX_REPLAY_MIB
                ),
            ]
        return aims
