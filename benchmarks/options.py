"""What a run measures, and for how long."""

from dataclasses import dataclass
from pathlib import Path

PARTS = ("saturated", "latency", "overload", "tasks", "commands", "starts", "whole", "limit", "models", "replay")


@dataclass(frozen=True)
class BenchmarkOptions:
    """The parts to measure, and their lengths."""

    only: tuple[str, ...] = PARTS
    profile: Path | None = None
    """The folder of flame graphs; None makes none."""
    rates: tuple[float, ...] = (50, 200)
    shares: tuple[float, ...] = (0.5, 0.7, 0.8)
    """Further rates, as shares of the saturated throughput."""
    seconds: float = 15.0
    warm_up: float = 4.0
    rest_seconds: float = 60.0
    first_seconds: float = 12.0
    overload_seconds: float = 60.0
    recovery_seconds: float = 150.0
    requests: int = 10_000
    payloads: int = 1_000
    tasks: tuple[str, ...] = ()
    """Empty is all."""
    task_requests: int = 2_000
    task_payloads: int = 200
    model_requests: int = 408
    """Requests to each of the included models, as the demonstration sends them: 8 pages among 400 lines for `ocr`."""
    extra_kb: tuple[float, ...] = (0, 96, 96, 0)
    """What payloads are enlarged by, for the cost of a kB: back and forth, so that no drift is taken for a slope."""
    events: int = 1_000_000
    repetitions: int = 3


QUICK = BenchmarkOptions(
    only=("saturated", "latency", "whole"),
    shares=(),
    seconds=12.0,
    warm_up=3.0,
    rest_seconds=20.0,
    requests=3_000,
    payloads=500,
    repetitions=2,
)
"""To compare versions, in less than four minutes."""
