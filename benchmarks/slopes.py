"""CPU time of an event as a line over its size: a fixed part, and a part of each kB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CostLine:
    """Milliseconds of CPU of an event without bytes, and microseconds for each kB (1,000 bytes)."""

    fixed_ms: float
    us_per_kb: float

    def at(self, kilobytes: float) -> float:
        """Return the milliseconds of an event of this size."""
        return self.fixed_ms + self.us_per_kb * kilobytes / 1000


def fit_line(kilobytes: Sequence[float], milliseconds: Sequence[float]) -> CostLine:
    """Fit by least squares. Two sizes or more are needed."""
    if len(set(kilobytes)) < 2:
        raise ValueError("a line needs the costs of two sizes or more")
    slope, intercept = np.polyfit(kilobytes, milliseconds, 1)
    return CostLine(float(intercept), float(slope) * 1000)


def fit_stages(kilobytes: Sequence[float], by_stage: Sequence[Mapping[str, float]]) -> dict[str, CostLine]:
    """Fit a line to each stage. A stage that a size lacks has cost nothing there."""
    stages = dict.fromkeys(stage for costs in by_stage for stage in costs)
    return {stage: fit_line(kilobytes, [costs.get(stage, 0.0) for costs in by_stage]) for stage in stages}
