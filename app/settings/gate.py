"""The settings of the gate."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings

MIN_ANSWERED_SHARE = 0.8
"""The answered share of an audit below which no score is computed, if no setting says otherwise."""


class GateSettings(RenamedSettings):
    """The bounds that a candidate must keep to pass the gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {
        "min_outcomes": "outcomes",
        "confidence_level": "level",
        "min_improvement": "improvement",
        "min_slice_outcomes": "slice_outcomes",
        "max_error_increase_ratio": "forgetting",
        "max_unanswered_share": "unanswered",
        "max_latency_ratio": "latency_ratio",
        "max_latency_ms": "latency_ms",
        "max_size_bytes": "size_bytes",
    }

    min_outcomes: Annotated[int, Field(ge=2)] = 20
    """Minimum number of held-out outcomes. One in ten is held out: 300 reviews of the audit give 20 with probability
    0.98. The intervals are valid for so few, but show large improvements only."""
    min_answered_share: Annotated[float, Field(ge=0, le=1)] = MIN_ANSWERED_SHARE
    """Minimum answered share of the audit: a stretch of time with less does not count, because mostly the mistakes are
    known."""
    recent_outcomes: Annotated[int, Field(ge=2)] = 500
    """The newest held-out outcomes show the improvement. With all, a long history would hide what has changed."""
    history_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """The tolerated loss on all held-out outcomes: the lower end of its interval must not be below it."""
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The level of every confidence interval, two-sided. Evaluations on the same outcomes share its error."""
    unseen_loss: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The greatest loss of score on one outcome that must be reckoned with even if no held-out outcome shows it. 1 is
    right for any scores from 0 to 1; 0 trusts that the outcomes show all there is."""
    min_improvement: float = 0.0
    """The mean difference in score, candidate less champion: the lower end of its interval must exceed this."""
    min_slice_outcomes: Annotated[int, Field(ge=2)] = 30
    """Minimum number of held-out outcomes of a slice. A smaller slice is not checked."""
    slice_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """The tolerated loss on a slice. The candidate is refused if the whole interval of a slice is below it."""
    max_error_increase_ratio: Annotated[float, Field(ge=0)] = 0.10
    """Tolerated relative increase of the error, 1 - mean score, on the original test set: over that of version 1, so
    that it does not compound from promotion to promotion. Chance alone refuses no candidate."""
    max_unanswered_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Maximum share of the served predictions that the candidate may fail to make."""
    off_policy_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """How far below 0 the lower end of the interval of the off-policy difference may be."""
    max_latency_ratio: Annotated[float, Field(gt=0)] = 1.5
    """Maximum ratio of the candidate's latency to the champion's."""
    max_latency_ms: Annotated[float, Field(gt=0)] = 1000.0
    """Maximum latency of the candidate, in milliseconds."""
    max_size_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024 * 1024
    """Maximum size of the candidate's file."""
