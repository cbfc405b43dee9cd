"""The measurements of `app.demo.scenario`, and whether they show a successful learning loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.demo.timeline import TimelineEvent
from app.demo.traffic import AnsweredRequest

FAULTY_SHARE = 0.25
"""The share of the requests that the faulty version gets as a canary."""


@dataclass(frozen=True)
class ScenarioResult:
    """The measurements of a scenario."""

    task: str
    requests: Sequence[AnsweredRequest]
    unanswered: int
    events: Sequence[TimelineEvent]
    baseline_score: float
    """The mean score before the new source."""
    drifted_score: float
    """The mean score with the new source, until another version became the champion."""
    regained_score: float
    """The mean score since the last promotion."""
    champion: str
    faulty_version: str
    faulty_answers: int
    """How many requests the faulty version answered."""
    faulty_share: float
    """Their share of all requests between its first answer and its last."""
    seconds: float
    """From the start of the platform to the end."""

    @property
    def recovered(self) -> float:
        """The share of the lost score that is regained."""
        return (self.regained_score - self.drifted_score) / (self.baseline_score - self.drifted_score)

    @property
    def is_successful(self) -> bool:
        """Whether half of the loss is regained, and the faulty version answered at most its share, plus 4 sigma."""
        requests = max(1.0, self.faulty_answers / max(self.faulty_share, 1e-9))
        margin = 4 * (FAULTY_SHARE * (1 - FAULTY_SHARE) / requests) ** 0.5
        return self.recovered >= 0.5 and self.faulty_share <= FAULTY_SHARE + margin and not self.unanswered

    def to_json(self) -> dict[str, Any]:
        """Return the result as `hindsight demo loop --json` prints it."""
        return {
            "task": self.task,
            "baseline_score": self.baseline_score,
            "drifted_score": self.drifted_score,
            "regained_score": self.regained_score,
            "recovered": self.recovered,
            "champion": self.champion,
            "faulty_version": self.faulty_version,
            "faulty_answers": self.faulty_answers,
            "faulty_share": self.faulty_share,
            "unanswered": self.unanswered,
            "seconds": self.seconds,
        }
