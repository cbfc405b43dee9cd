"""CPU time of an event as a line over its size: a fixed part, and a part of each kB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import linregress


@dataclass(frozen=True)
class CostLine:
    """Milliseconds of CPU of an event without bytes, and microseconds for each kB (1,000 bytes), with standard errors.

    The errors are 0 where there are only two points.
    """

    fixed_ms: float
    us_per_kb: float
    fixed_error_ms: float
    us_per_kb_error: float


def fit_line(kilobytes: Sequence[float], milliseconds: Sequence[float]) -> CostLine:
    """Fit by least squares. Two sizes or more are needed."""
    if len(set(kilobytes)) < 2:
        raise ValueError("a line needs the costs of two sizes or more")
    line = linregress(kilobytes, milliseconds)
    values = line.intercept, line.slope * 1000, line.intercept_stderr, line.stderr * 1000
    return CostLine(*map(float, values))


def fit_stages(kilobytes: Sequence[float], by_stage: Sequence[Mapping[str, float]]) -> dict[str, CostLine]:
    """Fit a line to each stage. A stage that a size lacks has cost nothing there."""
    stages = dict.fromkeys(stage for costs in by_stage for stage in costs)
    return {stage: fit_line(kilobytes, [costs.get(stage, 0.0) for costs in by_stage]) for stage in stages}
