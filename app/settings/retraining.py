"""How a task is retrained: a part of its settings, HINDSIGHT_TASK_SETTINGS."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings
from app.settings.gate import GateSettings
from app.settings.rollout import RolloutSettings
from app.settings.triggers import TriggerSettings


class RetrainingSettings(RenamedSettings):
    """What starts a run, what it learns from and may cost, what its candidate owes, and how that comes to serve."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {
        "feedback_wait_minutes": "feedback_minutes",
        "dataset_days": "window_days",
        "slice_columns": "slices",
        "max_memory_gib": "memory_gib",
    }

    triggers: TriggerSettings = TriggerSettings()
    """What starts a run."""
    window_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Length of the windows by which quality, drift and latency are judged."""
    feedback_wait_minutes: Annotated[float, Field(ge=0)] = 10.0
    """How long the quality of a window waits for its feedback."""
    from_scratch: bool = False
    """Whether a training starts from nothing, and not from the champion; not every task can."""
    dataset_days: Annotated[float, Field(gt=0)] | None = None
    """A dataset is of the requests of so many days before the run; None is of all that there are."""
    slice_columns: tuple[str, ...] = ("request_source",)
    """Columns of a dataset whose every value is a slice: a candidate that is worse on one of them does not pass."""
    timeout_minutes: Annotated[float, Field(gt=0)] = 180.0
    """Longest time from a run's start to the registration of its candidate."""
    max_memory_gib: Annotated[float, Field(gt=0)] = 8.0
    """The most memory that a run may take."""
    gate: GateSettings = GateSettings()
    """What a candidate owes to pass."""
    rollout: RolloutSettings = RolloutSettings()
    """How one that passed comes to serve: shadow, canary, champion."""
