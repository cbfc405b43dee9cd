"""Shared by the studies: the folder of results, means over seeds, and tables in Markdown."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.report import TableSection

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class MeanInterval:
    """A mean over seeds, and half the width of its 95 % interval (Student's t)."""

    mean: float
    half: float

    @classmethod
    def from_values(cls, values: list[float]) -> "MeanInterval":
        """Return the interval of a figure that each seed gives once."""
        return cls(*mean_and_half_width(np.array(values)))

    def percent(self, sign: str = "") -> str:
        """Return both in per cent."""
        return f"{self.mean:{sign}.1%} ± {self.half:.1%}"


def mean_and_half_width(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval (Student's t)."""
    count = len(values)
    if count < 2:
        return float(values.mean()), math.inf
    return float(values.mean()), float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))


def markdown(section: TableSection) -> str:
    """Return a table in Markdown."""
    lines = [section.columns, ["---"] * len(section.columns), *section.rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join([f"## {section.title}", table, *section.notes]) + "\n"
