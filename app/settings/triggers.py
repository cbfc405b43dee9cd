"""The settings of a task's triggers."""

from typing import Annotated, ClassVar

from croniter import croniter
from pydantic import ConfigDict, Field, field_validator

from app.settings.former_names import RenamedSettings
from app.settings.gate import MIN_ANSWERED_SHARE

Count = Annotated[int, Field(ge=1)]


class TriggerSettings(RenamedSettings):
    """The conditions that start a retraining of a task. None switches a trigger off."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
    former_names: ClassVar = {
        "min_new_labels": "volume",
        "quality_min_score": "quality_bound",
        "quality_min_labelled": "quality_least_labelled",
        "quality_min_answered_share": "quality_least_answered",
        "drift_windows": "drift",
        "latency_max_p99_ms": "latency_p99_ms",
    }

    min_new_labels: Count | None = 1000
    """Labelled events since the last dataset that start a run."""

    quality_min_score: float | None = None
    """Minimum score of a window, whatever the champion's. A bound near the typical score is missed by chance alone."""
    quality_alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = 1e-4
    """1 / the average number of windows until a false alarm while the champion is as good as before: 14 months for
    hourly windows. Evidence is carried over windows. None does not compare with the champion's reference."""
    quality_tolerance: Annotated[float, Field(ge=0)] = 0.01
    """How far below the champion's reference the score may be; at least two standard errors of the reference."""
    quality_min_labelled: Annotated[int, Field(ge=2)] = 100
    """Minimum effective number of labels with a known selection probability in a window, and in the champion's first
    windows for these to be its reference instead of its score at the gate."""
    quality_min_answered_share: Annotated[float, Field(ge=0, le=1)] = MIN_ANSWERED_SHARE
    """Minimum share of a window's audit that is answered. With less, mostly the mistakes are known."""

    drift_windows: Count | None = 24
    """Windows in a row in which a detector's statistic must be above its threshold to start a run. An incident is
    reported at the first one: labels then show whether the score falls, and a run without labels of the new events
    would not learn them. A day is longer than most patterns of traffic last."""

    latency_max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    """Maximum 99th percentile of a window's latencies, in milliseconds."""
    latency_windows: Count = 3
    """Windows in a row that must be above it."""

    schedule: str | None = None
    """Times of unconditional runs, in UTC, in the crontab format: `0 3 * * 0` is on Sundays at 3."""

    alerts: tuple[str, ...] | None = ("HindsightRetrain",)
    """Names of alerts in Prometheus's rules. Their label `task` names the task."""

    cooldown_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """Minimum time from the end of a run to the next, unless that is started by hand."""

    @field_validator("schedule")
    @classmethod
    def _has_times(cls, schedule: str | None) -> str | None:
        """Raises ValueError if it is not a line of a crontab, or matches no date, such as a 30th of February."""
        if schedule is not None:
            croniter(schedule, 0.0).get_next(float)
        return schedule
