"""The results of the demonstration: one sample's, and the totals of a task."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass
class SampleResult:
    """One sample and its result. `score` is set if there is a prediction."""

    truth: str
    prediction: str = ""
    confidence: float | None = None
    milliseconds: float = 0.0
    score: float | None = None
    reward: float | None = None
    status: Literal["right", "wrong", "corrected", "rewarded", "failed"] = "failed"

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the row's cells in the table."""
        confidence = "" if self.confidence is None else f"{self.confidence:.3f}"
        return self.truth, self.prediction, confidence, f"{self.milliseconds:.0f} ms", self.status


@dataclass
class Tally:
    """Totals of one task's samples so far."""

    error_name: str
    status_counts: Counter[str] = field(default_factory=Counter)
    errors: float = 0.0
    rewards: float = 0.0
    milliseconds: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def add(self, result: SampleResult) -> None:
        """Add a result to the totals."""
        self.status_counts[result.status] += 1
        if result.score is not None:
            self.errors += 1.0 - result.score
            self.rewards += result.reward or 0.0
            self.milliseconds.append(result.milliseconds)

    def __str__(self) -> str:
        counts = self.status_counts
        predicted = counts.total() - counts["failed"]
        text = f"{counts.total()} samples, "
        if counts["rewarded"]:
            text += f"{counts['rewarded']} rewarded with {self.rewards / counts['rewarded']:.3f} each"
        else:
            text += f"{counts['wrong'] + counts['corrected']} wrong, {counts['corrected']} corrected"
        if counts["failed"]:
            text += f", {counts['failed']} failed"
        if predicted:
            p50, p99 = np.percentile(self.milliseconds, [50, 99])
            if not counts["rewarded"]:
                text += f"; {self.error_name} {self.errors / predicted:.1%}"
            text += f"; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        return text
