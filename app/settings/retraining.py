"""The retraining of a task: a part of its settings, HINDSIGHT_TASK_SETTINGS."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings
from app.settings.gate import GateSettings
from app.settings.rollout import RolloutSettings
from app.settings.triggers import TriggerSettings


class RetrainingSettings(RenamedSettings):
    """The triggers, data and limits of a retraining run, and the gate and rollout of its candidate."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {
        "feedback_wait_minutes": "feedback_minutes",
        "dataset_days": "window_days",
        "slice_columns": "slices",
        "max_memory_gib": "memory_gib",
    }

    triggers: TriggerSettings = TriggerSettings()
    """The conditions that start a run."""
    window_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Length of the windows in which quality, drift and latency are measured."""
    feedback_wait_minutes: Annotated[float, Field(ge=0)] = 10.0
    """How long the quality of a window waits for its feedback."""
    candidates: Annotated[int, Field(ge=1, le=10)] = 1
    """How many candidates a run trains, each with another seed. All that pass the gate are shadows at once, and the
    best goes on. Worth it where trainings differ by chance; a run takes so many times as long, and each candidate needs
    more evidence to pass the gate, because several are tried."""
    from_scratch: bool = False
    """Whether a training starts from nothing instead of the champion. Not every task supports this."""
    dataset_days: Annotated[float, Field(gt=0)] | None = None
    """A dataset has the requests of this many days; None is all requests."""
    reward_wait_minutes: Annotated[float, Field(ge=0)] = 0.0
    """A dataset leaves out the requests of this many minutes before the run, whose rewards may be yet to come.
    A purchase needs its attribution window here, lest clicks alone are learned from. 0 uses corrections at once."""
    slice_columns: tuple[str, ...] = ("request_source",)
    """Columns of a dataset. Each of their values is a slice, and a candidate that is worse on one does not pass."""
    timeout_minutes: Annotated[float, Field(gt=0)] = 180.0
    """Maximum time from a run's start to the registration of its candidate."""
    max_memory_gib: Annotated[float, Field(gt=0)] = 8.0
    """Maximum memory of a run."""
    gate: GateSettings = GateSettings()
    """The bounds that a candidate must keep to pass the gate."""
    rollout: RolloutSettings = RolloutSettings()
    """The steps of a candidate that passed: shadow, canary, champion."""
