"""What each part of a log contributes to a value: so the value on any of these parts is known as well."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.off_policy import Estimate, Floats, Places, ratio


@dataclass(frozen=True)
class Contributions:
    """N decisions, episodes or outcomes; the value on any of them is sum(added) / sum(mass).

    That is the mean of terms with masses of 1, such as those of a doubly robust estimate, and self-normalised IPS with
    importance weights for masses.
    """

    ids: NDArray[np.str_]
    """The prediction's id of each, (N,); that of the first decision of an episode."""
    added: Floats
    """(N,), as all others."""
    mass: Floats
    weights: Floats
    """Importance weights, or inverse selection probabilities."""
    rewards: Floats
    """Rewards, returns or scores."""
    clusters: Places
    """The number of each one's entity, from 0."""

    def at(self, places: NDArray[np.integer[Any]]) -> "Contributions":
        """Return those at these places."""
        _, clusters = np.unique(self.clusters[places], return_inverse=True)
        return Contributions(
            self.ids[places],
            self.added[places],
            self.mass[places],
            self.weights[places],
            self.rewards[places],
            clusters,
        )

    @property
    def estimate(self) -> Estimate:
        """The value, with an interval by entity."""
        return ratio(self.added, self.mass).by_cluster(self.clusters)
