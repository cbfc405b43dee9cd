"""How a task is retrained: a part of its settings, HINDSIGHT_TASK_SETTINGS."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.settings.gate import GateSettings
from app.settings.rollout import RolloutSettings
from app.settings.triggers import TriggerSettings


class RetrainingSettings(BaseModel):
    """What starts a run, what it learns from and may cost, what its candidate owes, and how that comes to serve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    triggers: TriggerSettings = TriggerSettings()
    """What starts a run."""
    window_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Length of the windows by which quality, drift and latency are judged."""
    feedback_minutes: Annotated[float, Field(ge=0)] = 10.0
    """How long the quality of a window waits for its feedback."""
    from_scratch: bool = False
    """Whether a training starts from nothing, and not from the champion; not every task can."""
    window_days: Annotated[float, Field(gt=0)] | None = None
    """A dataset is of the requests of so many days before the run; None is of all that there are."""
    slices: tuple[str, ...] = ("request_source",)
    """Columns of a dataset whose every value is a slice: a candidate that is worse on one of them does not pass."""
    timeout_minutes: Annotated[float, Field(gt=0)] = 180.0
    """Longest time from a run's start to the registration of its candidate."""
    memory_gib: Annotated[float, Field(gt=0)] = 8.0
    """The most memory that a run may take."""
    gate: GateSettings = GateSettings()
    """What a candidate owes to pass."""
    rollout: RolloutSettings = RolloutSettings()
    """How one that passed comes to serve: shadow, canary, champion."""
