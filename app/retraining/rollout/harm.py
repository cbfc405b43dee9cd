"""The harm that a candidate may do in one respect, and how much of it is tolerated."""

from dataclasses import dataclass, field
from math import ceil

from app.statistics.confidence_sequences import Interval


@dataclass(frozen=True)
class Harm:
    """The candidate's loss in one respect, and its tolerance."""

    template: str
    """A sentence with placeholders for the two ends of the interval."""
    interval: Interval
    tolerance: float
    none: float = 0.0
    """The value that means no loss."""
    scores: int = 0
    """The number of scores of the candidate from which the interval comes; 0 if from none."""
    key_share: float = field(default=0.0, kw_only=True)
    """The share of its variance that more scores of the same keys would not reduce."""

    @property
    def is_shown(self) -> bool:
        """Return whether the candidate is shown to be worse than tolerated."""
        return self.interval[0] > self.tolerance

    def may_exceed(self, exposure: float) -> bool:
        """Return whether the loss may be more than tolerated, if the candidate answers this share of the requests."""
        return self.interval[1] > self._limit(exposure)

    def describe(self, exposure: float = 1.0) -> str:
        """Return the interval, the limit and the scores that are needed to settle it, in a sentence."""
        sentence = f"{self.template.format(*self.interval)}, {self._limit(exposure):.4g} is tolerated"
        if exposure < 1:
            sentence += f" at a share of {exposure:.0%}"
        return f"{sentence} ({self._needed(exposure)})" if self.scores and self.may_exceed(exposure) else sentence

    def _limit(self, exposure: float) -> float:
        return self.none + (self.tolerance - self.none) / exposure

    def _needed(self, exposure: float) -> str:
        """Return what would show that the loss is tolerated, if it is what it seems now.

        The reach falls with the square root of the variance, of which only a part falls with the number of scores.
        """
        low, high = self.interval
        room = (self._limit(exposure) - (low + high) / 2) / ((high - low) / 2)
        if room <= 0:
            return "so far the loss seems larger"
        if room**2 <= self.key_share:
            return "the keys differ too much: more keys are needed, or assignment by request"
        times = (1 - self.key_share) / (room**2 - self.key_share)
        return f"about {ceil(self.scores * (times - 1))} more scores are needed"
