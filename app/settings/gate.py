"""The settings of the gate."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings


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

    min_outcomes: Annotated[int, Field(ge=2)] = 100
    """Minimum number of held-out outcomes."""
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The level of every confidence interval, two-sided."""
    min_improvement: float = 0.0
    """The mean difference in score, candidate less champion: the lower end of its interval must exceed this."""
    min_slice_outcomes: Annotated[int, Field(ge=2)] = 30
    """Minimum number of held-out outcomes of a slice. A smaller slice is not checked."""
    slice_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """The tolerated loss on a slice. The candidate is refused if the whole interval of a slice is below it."""
    max_error_increase_ratio: Annotated[float, Field(ge=0)] = 0.10
    """Tolerated relative increase of the error, 1 - mean score, on the original test set."""
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
