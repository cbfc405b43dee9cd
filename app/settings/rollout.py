"""The settings of a rollout."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.settings.former_names import RenamedSettings


class RolloutSettings(RenamedSettings):
    """The steps of a rollout, and the conditions to advance from one to the next."""

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
    """Minimum number of the candidate's predictions as a shadow."""
    canary_shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.05, 0.25, 0.5)
    """The growing shares of the requests that the candidate answers as a canary."""
    assignment: Literal["key", "request"] = "key"
    """Whether all requests of a key have the same version, or each request may have another.

    By key, a user is not answered by two versions in turn, and an episode or a session keeps its version; but what a
    canary shows depends on the keys that it has, so that evidence grows with their number. By request, it depends on
    the number of requests only: better for a task that answers each request by itself."""
    min_answers: Annotated[int, Field(ge=1)] = 200
    """Minimum number of the candidate's answers in each step as a canary."""
    min_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Minimum length of each step."""
    max_minutes: Annotated[float, Field(gt=0)] = 24 * 60.0
    """How long a step waits for certainty, which takes more than the minimum of answers: with these settings 1100
    before a 99th percentile is bounded, and as many before an error rate of 0 is known to be below 0.01."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability that the whole rollout rolls back a candidate that is within the tolerances."""
    score_range: tuple[float, float] | None = None
    """The lowest and the highest score; scores outside widen it. None: the task's, and -1 to 1 for rewards."""
    max_score_loss: Annotated[float, Field(ge=0)] = 0.02
    """How far below the champion's mean score the candidate's may be as the champion. A canary that is about to get a
    share of the requests may be further below, divided by that share."""
    max_error_rate_increase: Annotated[float, Field(ge=0)] = 0.01
    """How far above the champion's error rate the candidate's may be."""
    max_latency_ratio: Annotated[float, Field(ge=1)] = 1.5
    """Maximum ratio of the candidate's 99th percentile of latency to the champion's."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if any(later <= earlier for earlier, later in pairwise(self.canary_shares)):
            raise ValueError("canary_shares must grow from step to step")
        if self.score_range is not None and self.score_range[0] >= self.score_range[1]:
            raise ValueError("score_range must be from the least to the greatest score")
        if self.min_minutes > self.max_minutes:
            raise ValueError("min_minutes must not be more than max_minutes")
        return self
