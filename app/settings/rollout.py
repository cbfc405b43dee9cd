"""Settings of a rollout."""

from itertools import pairwise
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from app.settings.former_names import RenamedSettings


class RolloutSettings(RenamedSettings):
    """The steps of a rollout, and what it takes to go from one to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {
        "min_shadow_answers": "shadow_answers",
        "canary_shares": "shares",
        "min_answers": "answers",
        "min_minutes": "minutes",
        "max_minutes": "longest_minutes",
        "max_score_loss": "score_loss",
        "max_error_rate_increase": "error_increase",
        "max_latency_ratio": "latency_ratio",
    }

    min_shadow_answers: Annotated[int, Field(ge=1)] = 200
    """Least predictions of the candidate as a shadow."""
    canary_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.05, 0.25, 0.5)
    """The shares of the requests that the candidate answers as a canary, growing."""
    min_answers: Annotated[int, Field(ge=1)] = 200
    """Least answers of the candidate in each step as a canary."""
    min_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Least minutes of each step."""
    max_minutes: Annotated[float, Field(gt=0)] = 24 * 60.0
    """Longest time that a step waits for certainty, which takes more than the least answers: with these settings 1100
    before a 99th percentile is bounded, and as many before an error rate of 0 is known to be below 0.01."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability of rolling back, in the whole rollout, a candidate that is no worse than tolerated."""
    score_range: tuple[float, float] = (0.0, 1.0)
    """The least and the greatest score; what is outside counts as the nearer end. Rewards are in [-1, 1]."""
    max_score_loss: Annotated[float, Field(ge=0)] = 0.02
    """By how much the candidate's mean score may be below the champion's."""
    max_error_rate_increase: Annotated[float, Field(ge=0)] = 0.01
    """By how much the candidate's error rate may be above the champion's."""
    max_latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """How many times the champion's 99th percentile of latency the candidate's may be."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.canary_shares)):
            raise ValueError("canary_shares must grow from step to step")
        if self.score_range[0] >= self.score_range[1]:
            raise ValueError("score_range must be from the least to the greatest score")
        if self.min_minutes > self.max_minutes:
            raise ValueError("min_minutes must not be more than max_minutes")
        return self
