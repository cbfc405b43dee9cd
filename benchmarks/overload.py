"""An overload and its end: how long the platform takes until latency is normal again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.latency import LatencyDistribution, summarize_values
from benchmarks.load_generator import LoadResult, Phase, RequestTimes

WINDOW_SECONDS = 1.0
STEADY_WINDOWS = 5
"""Latency is normal again from the first of so many normal windows in a row."""
NORMAL_FACTOR = 1.5
"""A window is normal while its p99 is at most this multiple of the p99 before the overload."""


@dataclass(frozen=True)
class Overload:
    """The rates of a load with an overload in its middle, and what became of its requests."""

    base_rate: float
    overload_rate: float
    overload_seconds: float
    requests: int
    unanswered: int
    failed: int
    before: LatencyDistribution
    during: LatencyDistribution
    """Of the predictions that were due during the overload."""
    recovery_seconds: float | None
    """From the end of the overload; None if latency was not normal until the end."""
    observed_seconds: float
    """The time after the overload."""


def summarize_overload(phases: Sequence[Phase], load: LoadResult) -> Overload:
    """Return the figures of a load of three phases: before, overload, after."""
    before, overload, after = phases
    overload_start = load.started + before.seconds * 1000
    overload_end = overload_start + overload.seconds * 1000
    calm = [sample for sample in load.samples if sample.due < overload_start]
    crowded = [sample for sample in load.samples if overload_start <= sample.due < overload_end]
    predicted = [sample for sample in crowded if sample.received is not None and not sample.failed]
    later = [sample for sample in load.samples if sample.due >= overload_end]
    normal = summarize_values([_latency(sample, load.ended) for sample in calm])
    return Overload(
        base_rate=before.rate,
        overload_rate=overload.rate,
        overload_seconds=overload.seconds,
        requests=len(load.samples),
        unanswered=sum(sample.received is None for sample in load.samples),
        failed=sum(sample.failed for sample in load.samples),
        before=normal,
        during=summarize_values([_latency(sample, load.ended) for sample in predicted]),
        recovery_seconds=find_recovery(
            [
                ((sample.due - overload_end) / 1000, math.inf if sample.failed else _latency(sample, load.ended))
                for sample in later
            ],
            NORMAL_FACTOR * normal.p99,
        ),
        observed_seconds=after.seconds,
    )


def find_recovery(latencies: Sequence[tuple[float, float]], normal_ms: float) -> float | None:
    """Return the seconds after which p99 is at most `normal_ms`; None if it never is for long enough.

    A request that fails is not normal: its latency is infinite.

    `latencies` are pairs of the seconds at which a request was due, and its latency.
    """
    windows: dict[int, list[float]] = {}
    for seconds, milliseconds in latencies:
        windows.setdefault(int(seconds / WINDOW_SECONDS), []).append(milliseconds)
    steady = 0
    for window in sorted(windows):
        steady = steady + 1 if np.percentile(windows[window], 99, method="higher") <= normal_ms else 0
        if steady == STEADY_WINDOWS:
            return (window - STEADY_WINDOWS + 1) * WINDOW_SECONDS
    return None


def _latency(sample: RequestTimes, ended: float) -> float:
    """Return the latency; of a request without an answer, the time for which it was awaited."""
    return (ended if sample.received is None else sample.received) - sample.due
