"""Drift: whether what comes in or goes out is still distributed as in a reference sample. Pure.

A detector looks at a few numbers of each event, such as the confidence or the length of the output: its features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Samples = Mapping[str, NDArray[np.floating[Any]]]
"""By feature, its value of each event (N,)."""


@dataclass(frozen=True)
class Finding:
    """What a detector found of one feature: as in `DriftDetected`."""

    detector: str
    """The test's name."""
    feature: str
    statistic: float
    """What the test found."""
    threshold: float
    """What it may find at most."""
    events: int
    """How many events of the window it looked at."""

    @property
    def drifted(self) -> bool:
        """Whether the feature has moved."""
        return self.statistic > self.threshold


class Detector(Protocol):
    """Compares a window with a reference."""

    def findings(self, reference: Samples, window: Samples) -> Sequence[Finding]:
        """One for each feature that both have enough values of. The samples are of different events."""
        ...


FEWEST = 50
"""Values of a feature in either sample: fewer can't show the effects that matter."""


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """The two-sample Kolmogorov-Smirnov test: the largest distance between the two distribution functions, 0 to 1.

    Large samples make any trifle significant, so the distance must be above `effect` too: the threshold is whichever is
    larger, that or the distance that chance exceeds with probability `alpha`. Bonferroni: `alpha` is of any feature of
    a window, divided among those looked at. Ties, as in discrete features, make the test rather too strict. It takes
    events to be independent: the least effect is what stands against bursts of alike ones.
    """

    effect: float = 0.1
    alpha: float = 1e-4

    def findings(self, reference: Samples, window: Samples) -> Sequence[Finding]:
        """As `Detector` says; what chance exceeds is by the statistic's limit distribution (Smirnov, 1948)."""
        features = [
            name for name in sorted(reference.keys() & window) if min(len(reference[name]), len(window[name])) >= FEWEST
        ]
        found = []
        for name in features:
            before, now = len(reference[name]), len(window[name])
            chance = float(special.kolmogi(self.alpha / len(features)) / np.sqrt(before * now / (before + now)))
            distance = float(stats.ks_2samp(reference[name], window[name], method="asymp").statistic)
            found.append(Finding("kolmogorov-smirnov", name, distance, max(self.effect, chance), now))
        return found
