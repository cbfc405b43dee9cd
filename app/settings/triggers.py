"""The settings of a task's triggers."""

from typing import Annotated, ClassVar

from croniter import croniter
from pydantic import ConfigDict, Field, field_validator

from app.settings.former_names import RenamedSettings

Count = Annotated[int, Field(ge=1)]


class TriggerSettings(RenamedSettings):
    """What starts a retraining of a task. None switches a trigger off."""

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
    """Labelled events since the last dataset that are worth a run."""

    quality_min_score: float | None = None
    """The least score of a window, whatever the champion's. Near the usual score, chance alone goes below it."""
    quality_alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = 1e-4
    """How probable it may be that a window of a champion as good as ever fires: hourly windows do so once in 14 months.
    None compares with no champion."""
    quality_tolerance: Annotated[float, Field(ge=0)] = 0.01
    """By how much the score may be below the champion's reference, which is an estimate as well."""
    quality_min_labelled: Annotated[int, Field(ge=2)] = 100
    """Labels of known selection probability that a window must be worth to be judged."""
    quality_min_answered_share: Annotated[float, Field(ge=0, le=1)] = 0.8
    """The share of a window's audit that must be answered. Of less, it is mostly the mistakes that are known."""

    drift_windows: Count | None = 1
    """Windows in a row in which a detector's statistic is above its threshold."""

    latency_max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    """The bound of the 99th percentile of a window's latencies, in milliseconds."""
    latency_windows: Count = 3
    """Windows in a row that are above it."""

    schedule: str | None = None
    """When to run whatever is seen, in UTC as in a crontab: `0 3 * * 0` is on Sundays at 3."""

    alerts: tuple[str, ...] | None = ("HindsightRetrain",)
    """Names of alerts in Prometheus's rules, whose label `task` names the task."""

    cooldown_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """The shortest time from the end of a run to the next; those that people start don't wait."""

    @field_validator("schedule")
    @classmethod
    def _has_times(cls, schedule: str | None) -> str | None:
        """Raises ValueError for what is no crontab's line, or means no time at all, such as a 30th of February."""
        if schedule is not None:
            croniter(schedule, 0.0).get_next(float)
        return schedule
