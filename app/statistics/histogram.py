"""Values and how often there is each."""

from dataclasses import dataclass

import numpy as np

from models.off_policy import Floats


@dataclass(frozen=True)
class Histogram:
    """Values (N,) in rising order, and how often there is each (N,)."""

    values: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Floats) -> "Histogram":
        """Return the histogram of values (N,), in any order."""
        return cls(np.sort(values), np.ones(len(values)))

    @property
    def total(self) -> int:
        """Return how many there are."""
        return int(self.counts.sum())

    def quantiles(self, shares: Floats) -> Floats:
        """Return, for each share, the least value such that as large a share is not above it. There must be a value."""
        places = np.searchsorted(np.cumsum(self.counts), np.asarray(shares) * self.counts.sum())
        found: Floats = self.values[np.minimum(places, len(self.values) - 1)]
        return found
