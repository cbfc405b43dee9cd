"""What the samples of a load say: percentiles of the latency, and where it was spent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load_generator import Recorded, Sample
from benchmarks.resource_usage import Busy

STAGES = {
    "generator late": "from the moment it was due until the generator sent it",
    "request to log": "until the broker has appended the request",
    "preprocess stage": "Flink: until the broker has appended the features",
    "inference stage": "worker and MLServer: until the broker has appended the answer",
    "answer to application": "until the application has the answer",
}
"""One after the other they make the latency. The log's times are whole milliseconds."""


@dataclass(frozen=True)
class Spread:
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
    total: Spread
    stages: dict[str, Spread]
    timings: dict[str, Spread]
    """What the predictions themselves say."""
    outside: Spread
    """The latency without the predictions' own total: sending, confirming and receiving."""
    busy: Busy | None = None
    generator_cores: float = 0.0


def figures(rate: float, recorded: Recorded) -> Latency:
    """The figures of a load."""
    samples = recorded.samples
    total = [(recorded.ended if one.received is None else one.received) - one.due for one in samples]
    made = [one for one in samples if one.timings_ms]
    walked = [walk for one in samples if (walk := stages(one)) is not None]
    failures = [one for one in samples if one.failed]
    return Latency(
        rate=rate,
        requests=len(samples),
        unanswered=sum(one.received is None for one in samples),
        failed=len(failures),
        reason=failures[0].reason if failures else "",
        total=spread(total),
        stages={name: spread([walk[name] for walk in walked]) for name in STAGES},
        timings={
            name: spread([one.timings_ms[name] for one in made])
            for name in ("queued", "preprocess", "inference", "total")
        },
        outside=spread([(one.received or 0.0) - one.due - one.timings_ms["total"] for one in made]),
    )


def stages(sample: Sample) -> dict[str, float] | None:
    """The parts of a latency, in the order of `STAGES`; None for a request that didn't go all the way."""
    if sample.features is None or sample.answered is None or sample.received is None:
        return None
    moments = [sample.due, sample.sent, sample.logged, sample.features, sample.answered, sample.received]
    return {name: later - earlier for name, earlier, later in zip(STAGES, moments[:-1], moments[1:], strict=True)}


def spread(values: Sequence[float]) -> Spread:
    """Mean and percentiles; zeros of nothing."""
    if not values:
        return Spread(0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    return Spread(float(np.mean(values)), float(p50), float(p90), float(p99), float(np.max(values)))
