"""What the samples of a load say: percentiles of the latency, and where it was spent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load_generator import LoadResult, RequestTimes
from benchmarks.resource_usage import CoreUsage

STAGES = {
    "generator late": "from the moment it was due until the generator sent it",
    "request to log": "until the broker has appended the request",
    "preprocess stage": "Flink: until the broker has appended the features",
    "inference stage": "worker and MLServer: until the broker has appended the answer",
    "answer to application": "until the application has the answer",
}
"""One after the other they make the latency. The log's times are whole milliseconds."""


@dataclass(frozen=True)
class LatencyDistribution:
    """A quantity over all requests, in milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class Latency:
    """One load's figures. Requests without an answer count with the time that was waited for them."""

    rate: float
    requests: int
    unanswered: int
    failed: int
    reason: str
    total: LatencyDistribution
    stages: dict[str, LatencyDistribution]
    timings: dict[str, LatencyDistribution]
    """What the predictions themselves say."""
    outside: LatencyDistribution
    """The latency without the predictions' own total: sending, confirming and receiving."""
    busy: CoreUsage | None = None
    generator_cores: float = 0.0


def summarize_load(rate: float, recorded: LoadResult) -> Latency:
    """The figures of a load."""
    samples = recorded.samples
    total = [(recorded.ended if one.received is None else one.received) - one.due for one in samples]
    made = [one for one in samples if one.timings_ms]
    walked = [walk for one in samples if (walk := stage_latencies(one)) is not None]
    failures = [one for one in samples if one.failed]
    return Latency(
        rate=rate,
        requests=len(samples),
        unanswered=sum(one.received is None for one in samples),
        failed=len(failures),
        reason=failures[0].reason if failures else "",
        total=summarize_values(total),
        stages={name: summarize_values([walk[name] for walk in walked]) for name in STAGES},
        timings={
            name: summarize_values([one.timings_ms[name] for one in made])
            for name in ("queued", "preprocess", "inference", "total")
        },
        outside=summarize_values([(one.received or 0.0) - one.due - one.timings_ms["total"] for one in made]),
    )


def stage_latencies(sample: RequestTimes) -> dict[str, float] | None:
    """The parts of a latency, in the order of `STAGES`; None for a request that didn't go all the way."""
    if sample.features is None or sample.answered is None or sample.received is None:
        return None
    moments = [sample.due, sample.sent, sample.logged, sample.features, sample.answered, sample.received]
    return {name: later - earlier for name, earlier, later in zip(STAGES, moments[:-1], moments[1:], strict=True)}


def summarize_values(values: Sequence[float]) -> LatencyDistribution:
    """Mean and percentiles; zeros of nothing."""
    if not values:
        return LatencyDistribution(0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    return LatencyDistribution(float(np.mean(values)), float(p50), float(p90), float(p99), float(np.max(values)))
