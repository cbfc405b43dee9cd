"""The targets of the platform, and whether a run meets them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.overload import Overload
from benchmarks.replay import ReplayComparison
from benchmarks.results import BenchmarkResults

MAX_LATENCY_MS = {50.0: (10.0, 15.0), 200.0: (12.0, 25.0)}
"""Requests/s -> p50 and p99."""
MAX_CORES = {0.0: 0.1, 50.0: 0.4}
"""Requests/s -> cores in use."""
MAX_FIXED_MS, MAX_US_PER_KB = 0.25, 5.0
MIN_IN_PROCESS_RATIO = 0.7
MIN_MODEL_RATIO, MAX_MODELS_MIB = 0.85, 2.5 * 1024
MAX_RECOVERY_SECONDS = 10.0
MAX_COMMAND_SECONDS = 1.0
MAX_MEMORY_MIB = 1.2 * 1024
MAX_START_SECONDS = 15.0
MIN_CONSUMER_RATIO, MAX_SCAN_RATIO, MAX_REPLAY_MIB = 10.0, 3.0, 1024.0


@dataclass(frozen=True)
class Target:
    """A target: the measured value, the bound, and whether it is met."""

    name: str
    found: str
    aimed: str
    met: bool


def list_targets(results: BenchmarkResults) -> list[Target]:
    """Return the targets of the parts that this run has measured."""
    return [
        *(*_latency_targets(results), *_overload_targets(results.overload), *_cost_targets(results)),
        *(*_model_targets(results), *_small_targets(results), *_replay_targets(results.replay)),
    ]


def at_most(name: str, value: float, bound: float, unit: str = "") -> Target:
    """Return a target that a value does not exceed."""
    return Target(name, f"{value:.4g}{unit}", f"<= {bound:.4g}{unit}", value <= bound)


def at_least(name: str, value: float, bound: float) -> Target:
    """Return a target that a value reaches."""
    return Target(name, f"{value:.2f}", f">= {bound:g}", value >= bound)


def _latency_targets(results: BenchmarkResults) -> Iterator[Target]:
    for load in results.latency:
        if load.rate in MAX_LATENCY_MS:
            for name, ms, bound in zip(
                ("p50", "p99"), (load.total.p50, load.total.p99), MAX_LATENCY_MS[load.rate], strict=True
            ):
                target = at_most(f"latency {name} at {load.rate:g}/s", ms, bound, " ms")
                yield target if not load.unanswered and not load.failed else replace(target, met=False)


def _overload_targets(overload: Overload | None) -> Iterator[Target]:
    if overload is not None:
        seconds = math.inf if overload.recovery_seconds is None else overload.recovery_seconds
        yield at_most("overload, requests without an answer", overload.unanswered, 0)
        yield at_most("overload, from its end until p99 is normal", seconds, MAX_RECOVERY_SECONDS, " s")


def _cost_targets(results: BenchmarkResults) -> Iterator[Target]:
    for rate, bound in MAX_CORES.items():
        if rate in results.cores:
            yield at_most(f"cores at {rate:g}/s" if rate else "cores at rest", results.cores[rate], bound)
    if (ratio := results.ratios.get("saturated / in one process")) is not None:
        yield at_least("saturated / in one process", ratio, MIN_IN_PROCESS_RATIO)
    for name, cost in results.tasks.items():
        yield at_most(f"tax of {name}, fixed", cost.tax.fixed_ms, MAX_FIXED_MS, " ms")
        yield at_most(f"tax of {name}, a kB", cost.tax.us_per_kb, MAX_US_PER_KB, " us")
        for other, ratio in cost.ratios.items():
            if other in cost.peers:
                yield at_least(f"{name}, saturated / {other}", ratio, 1)


def _model_targets(results: BenchmarkResults) -> Iterator[Target]:
    for name, speed in results.models.items():
        yield at_least(f"{name}, saturated / model alone", speed.ratio, MIN_MODEL_RATIO)
    if results.models_at_rest:
        memory = results.models_at_rest
        yield at_most(f"memory at rest, included models, {memory.kind}", memory.total, MAX_MODELS_MIB, " MiB")


def _small_targets(results: BenchmarkResults) -> Iterator[Target]:
    if results.at_rest:
        yield at_most(f"memory at rest, {results.at_rest.kind}", results.at_rest.total, MAX_MEMORY_MIB, " MiB")
    if "first start" in results.starts:
        yield at_most("start until ready", results.starts["first start"], MAX_START_SECONDS, " s")
    for name, time in results.commands.items():
        yield at_most(name, time.seconds, MAX_COMMAND_SECONDS, " s")


def _replay_targets(comparison: ReplayComparison | None) -> Iterator[Target]:
    if comparison is not None:
        yield at_least("replay / consumer of Kafka, speed", comparison.consumer_ratio, MIN_CONSUMER_RATIO)
        yield at_most("replay / scan by DuckDB, time", comparison.scan_ratio, MAX_SCAN_RATIO)
        yield at_most("memory of replay, peak", comparison.readings["replay"].peak_mib, MAX_REPLAY_MIB, " MiB")
