"""The latency of a load: percentiles, and how much each stage takes."""

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
"""The stages follow each other and add up to the latency. The log's times are whole milliseconds."""


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
    """The figures of a load. A request without an answer counts with the time for which its answer was awaited."""

    rate: float
    requests: int
    unanswered: int
    failed: int
    reason: str
    total: LatencyDistribution
    stages: dict[str, LatencyDistribution]
    timings: dict[str, LatencyDistribution]
    """`timings_ms` of the predictions."""
    outside: LatencyDistribution
    """The latency minus `timings_ms.total`: sending, confirming and receiving."""
    sent: int = 0
    """The requests with those that warmed up, which are not measured."""
    busy: CoreUsage | None = None
    """Cores in use until all answers were archived and recorded."""
    generator_cores: float = 0.0


def summarize_load(rate: float, recorded: LoadResult) -> Latency:
    """Return the figures of a load."""
    samples = recorded.samples
    total = [(recorded.ended if sample.received is None else sample.received) - sample.due for sample in samples]
    predicted = [sample for sample in samples if sample.timings_ms]
    stages = [latencies for sample in samples if (latencies := stage_latencies(sample)) is not None]
    failures = [sample for sample in samples if sample.failed]
    return Latency(
        rate=rate,
        requests=len(samples),
        unanswered=sum(sample.received is None for sample in samples),
        failed=len(failures),
        reason=failures[0].reason if failures else "",
        total=summarize_values(total),
        stages={name: summarize_values([latencies[name] for latencies in stages]) for name in STAGES},
        timings={
            name: summarize_values([sample.timings_ms[name] for sample in predicted])
            for name in ("queued", "preprocess", "inference", "total")
        },
        outside=summarize_values(
            [(sample.received or 0.0) - sample.due - sample.timings_ms["total"] for sample in predicted]
        ),
    )


def stage_latencies(sample: RequestTimes) -> dict[str, float] | None:
    """Return the latency of each of `STAGES`; None for a request that did not pass all of them."""
    if sample.features is None or sample.answered is None or sample.received is None:
        return None
    moments = [sample.due, sample.sent, sample.logged, sample.features, sample.answered, sample.received]
    return {name: later - earlier for name, earlier, later in zip(STAGES, moments[:-1], moments[1:], strict=True)}


def summarize_values(values: Sequence[float]) -> LatencyDistribution:
    """Return mean and percentiles; zeros if there are no values."""
    if not values:
        return LatencyDistribution(0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    return LatencyDistribution(float(np.mean(values)), float(p50), float(p90), float(p99), float(np.max(values)))
