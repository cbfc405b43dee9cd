"""Settings of a rollout."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RolloutSettings(BaseModel):
    """The steps of a rollout, and what it takes to go from one to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shadow_answers: Annotated[int, Field(ge=1)] = 200
    """Least predictions of the candidate as a shadow."""
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.05, 0.25, 0.5)
    """The shares of the requests that the candidate answers as a canary, growing."""
    answers: Annotated[int, Field(ge=1)] = 200
    """Least answers of the candidate in each step as a canary."""
    minutes: Annotated[float, Field(ge=0)] = 10.0
    """Least minutes of each step."""
    longest_minutes: Annotated[float, Field(gt=0)] = 24 * 60.0
    """Longest time that a step waits for certainty, which takes more than the least answers: with these settings 1100
    before a 99th percentile is bounded, and as many before an error rate of 0 is known to be below 0.01."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability of rolling back, in the whole rollout, a candidate that is no worse than tolerated."""
    score_range: tuple[float, float] = (0.0, 1.0)
    """The least and the greatest score; what is outside counts as the nearer end. Rewards are in [-1, 1]."""
    score_loss: Annotated[float, Field(ge=0)] = 0.02
    """By how much the candidate's mean score may be below the champion's."""
    error_increase: Annotated[float, Field(ge=0)] = 0.01
    """By how much the candidate's error rate may be above the champion's."""
    latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """How many times the champion's 99th percentile of latency the candidate's may be."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.shares)):
            raise ValueError("shares must grow from step to step")
        if self.score_range[0] >= self.score_range[1]:
            raise ValueError("score_range must be from the least to the greatest score")
        if self.minutes > self.longest_minutes:
            raise ValueError("minutes must not be more than longest_minutes")
        return self
