"""What a run measures, and for how long."""

from dataclasses import dataclass

PARTS = ("latency", "saturated", "whole", "alone", "limit", "starts", "replay", "tasks")


@dataclass(frozen=True)
class BenchmarkOptions:
    """The parts to measure, and their lengths."""

    only: tuple[str, ...] = PARTS
    rates: tuple[float, ...] = (50, 200, 500)
    seconds: float = 15.0
    warm_up: float = 4.0
    rest_seconds: float = 60.0
    first_seconds: float = 12.0
    requests: int = 10_000
    payloads: int = 1_000
    task_requests: int = 2_000
    task_payloads: int = 200
    events: int = 1_000_000
    repetitions: int = 3


QUICK = BenchmarkOptions(
    only=("latency", "saturated", "whole"),
    rates=(50, 200),
    seconds=12.0,
    warm_up=3.0,
    rest_seconds=20.0,
    requests=3_000,
    payloads=500,
    repetitions=2,
)
"""To compare versions, in less than four minutes."""
