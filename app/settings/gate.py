"""Settings of the gate."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings


class GateSettings(RenamedSettings):
    """What a candidate owes to pass."""

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
    """Least held-out outcomes."""
    confidence_level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of every confidence interval, two-sided."""
    min_improvement: float = 0.0
    """What the lower end of the interval of the mean difference in score, candidate less champion, must exceed."""
    min_slice_outcomes: Annotated[int, Field(ge=2)] = 30
    """Least held-out outcomes of a slice to be judged: fewer show nothing."""
    slice_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """By how much the candidate may be worse on a slice: one whose whole interval is below this is refused."""
    max_error_increase_ratio: Annotated[float, Field(ge=0)] = 0.10
    """By which part of its own the champion's error, 1 - mean score, may grow on the original test set."""
    max_unanswered_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    """The share of what was served in the past that the candidate may fail to answer."""
    off_policy_tolerance: Annotated[float, Field(ge=0)] = 0.02
    """By how much the lower end of the off-policy difference's interval may be below 0."""
    max_latency_ratio: Annotated[float, Field(gt=0)] = 1.5
    """How many times the champion's latency the candidate's may be."""
    max_latency_ms: Annotated[float, Field(gt=0)] = 1000.0
    """The candidate's greatest latency, in milliseconds."""
    max_size_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024 * 1024
    """The greatest size of the candidate's file."""
