"""The settings of a task: one value of HINDSIGHT_TASK_SETTINGS."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings
from app.settings.retraining import RetrainingSettings


class TaskSettings(RenamedSettings):
    """How the feedback of one task is judged, and what becomes of its streams."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {"full_feedback": "all_are_judged"}

    audit_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of predictions, drawn at random, that is queued to be looked at by a person."""
    full_feedback: bool = Field(False, serialization_alias="all_are_judged")  # its name in a dataset's manifest
    """Whether the application gives feedback on every prediction: then nothing is selected."""
    label_rule: Literal["majority", "latest"] = "majority"
    """Whose correction counts where actors contradict each other; a tie goes to the latest."""
    reward_window_seconds: Annotated[float, Field(gt=0)] | None = None
    """A reward counts if it is given within this time of the prediction; None is at any time."""
    reward_default: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The reward of a prediction whose window has ended without one."""
    frames: Literal["all", "latest"] = "all"
    """Of several frames of one stream (`ce_stream`) that wait for the model: whether all are predicted, or the last."""
    retraining: RetrainingSettings = RetrainingSettings()
    """When the task is retrained, and what a candidate owes before it serves."""
