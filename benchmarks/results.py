"""The results of a run: measurements, and what follows from them."""

import statistics
from dataclasses import dataclass, field

from benchmarks.commands import CommandTime
from benchmarks.in_process import InProcessSpeed
from benchmarks.latency import Latency
from benchmarks.model_run import ModelSpeed
from benchmarks.overload import Overload
from benchmarks.replay import ReplayComparison
from benchmarks.resource_usage import CoreUsage, Memory
from benchmarks.runtime_limit import RuntimeLimit
from benchmarks.stage_costs import StageCosts, cores_at_rate, cost_of_load
from benchmarks.task_costs import TaskCost
from benchmarks.throughput import BacklogResult

MAX_OTHER_CORES = 0.15
SATURATED = "saturated"


@dataclass
class BenchmarkResults:
    """One run. Fields of parts that were not measured are None or empty."""

    machine: dict[str, str]
    load: str
    starts: dict[str, float] = field(default_factory=dict)
    """Seconds from `hindsight up` until ready."""
    rest: CoreUsage | None = None
    at_rest: Memory | None = None
    after_load: Memory | None = None
    latency: list[Latency] = field(default_factory=list)
    saturated: list[BacklogResult] = field(default_factory=list)
    overload: Overload | None = None
    whole: InProcessSpeed | None = None
    limit: RuntimeLimit | None = None
    replay: ReplayComparison | None = None
    tasks: dict[str, TaskCost] = field(default_factory=dict)
    models: dict[str, ModelSpeed] = field(default_factory=dict)
    models_at_rest: Memory | None = None
    """Of the platform with the included models."""
    commands: dict[str, CommandTime] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    """Cores that other processes used during the other phases."""

    @property
    def disturbed_phases(self) -> dict[str, float]:
        """Return the phases in which other processes used so many cores that the figures are provisional."""
        loads = {f"{load.rate:g}/s": load.busy.others for load in self.latency if load.busy}
        backlogs = {f"backlog {number}": drain.busy.others for number, drain in enumerate(self.saturated, 1)}
        rest = {"rest": self.rest.others} if self.rest else {}
        phases = rest | loads | backlogs | self.others
        return {name: cores for name, cores in phases.items() if cores > MAX_OTHER_CORES}

    @property
    def stage_costs(self) -> dict[str, StageCosts]:
        """Return what an event costs in each load, and saturated: the mean of the backlogs."""
        if self.rest is None:
            return {}
        costs = {
            f"{load.rate:g}/s": cost_of_load([load.busy], self.rest, load.sent) for load in self.latency if load.busy
        }
        if self.saturated:
            events = sum(drain.requests for drain in self.saturated)
            costs[SATURATED] = cost_of_load([drain.until_settled for drain in self.saturated], self.rest, events)
        return costs

    @property
    def cores(self) -> dict[float, float]:
        """Return the cores that the platform needs at each rate; 0 is at rest."""
        if self.rest is None:
            return {}
        costs = self.stage_costs
        rates = (load.rate for load in self.latency if load.busy)
        return {0.0: self.rest.total} | {rate: cores_at_rate(self.rest, costs[f"{rate:g}/s"], rate) for rate in rates}

    @property
    def throughput(self) -> float | None:
        """Return the median throughput of the backlogs."""
        return statistics.median(drain.per_second for drain in self.saturated) if self.saturated else None

    @property
    def tax_ms(self) -> float | None:
        """Return the CPU time of an event on the saturated platform beyond that of the work in one process."""
        saturated = self.stage_costs.get(SATURATED)
        return saturated.total - self.whole.cpu_ms if saturated and self.whole else None

    @property
    def ratios(self) -> dict[str, float]:
        """Return the throughput of the saturated platform as a share of that of ONNX Runtime."""
        ratios = {}
        if self.throughput is not None and self.whole:
            ratios["saturated / in one process"] = self.throughput / self.whole.per_second
        if self.throughput is not None and self.limit:
            ratios["saturated / ONNX Runtime alone"] = self.throughput / self.limit.best.per_second
        return ratios

    @property
    def summary(self) -> dict[str, float]:
        """Return the figures by which versions are compared."""
        figures = {f"cores at {rate:g}/s" if rate else "cores at rest": cores for rate, cores in self.cores.items()}
        for name, costs in self.stage_costs.items():
            figures[f"CPU ms of an event, {name}"] = costs.total
        for load in self.latency:
            figures |= {f"p50 ms at {load.rate:g}/s": load.total.p50, f"p99 ms at {load.rate:g}/s": load.total.p99}
        if self.throughput is not None:
            figures["saturated, events/s"] = self.throughput
        if self.tax_ms is not None:
            figures["tax, CPU ms of an event"] = self.tax_ms
        for name, cost in self.tasks.items():
            figures[f"tax of {name}, fixed CPU ms"] = cost.tax.fixed_ms
            figures[f"tax of {name}, CPU us of a kB"] = cost.tax.us_per_kb
            figures |= {f"{name}, saturated / {other}": ratio for other, ratio in cost.ratios.items()}
        figures |= {f"{name}, saturated / model alone": speed.ratio for name, speed in self.models.items()}
        if self.models_at_rest:
            figures["MiB at rest, included models"] = self.models_at_rest.total
        if self.at_rest:
            figures["MiB at rest"] = self.at_rest.total
        figures |= {f"{name}, s": time.seconds for name, time in self.commands.items()}
        return figures | self.ratios | {f"{name}, s": seconds for name, seconds in self.starts.items()}
