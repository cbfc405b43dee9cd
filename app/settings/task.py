"""The settings of a task: one value of HINDSIGHT_TASK_SETTINGS."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from app.settings.former_names import RenamedSettings
from app.settings.retraining import RetrainingSettings
from app.settings.rewards import RewardSettings


class TaskSettings(RenamedSettings):
    """Audit, labels, rewards, streams and retraining of one task."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {"full_feedback": "all_are_judged"}

    audit_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The random share of predictions that is queued for review by a person."""
    full_feedback: bool = Field(False, serialization_alias="all_are_judged")  # its name in a dataset's manifest
    """Whether the application gives feedback on every prediction: then no audit sample is drawn."""
    label_rule: Literal["majority", "latest"] = "majority"
    """The correction that counts if actors contradict each other; a tie goes to the latest."""
    reward_window_seconds: Annotated[float, Field(gt=0)] | None = None
    """A reward counts if it is given within this time of the prediction; None is without a limit."""
    reward_default: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """The reward of a prediction that got none within this time."""
    rewards: dict[Annotated[str, Field(min_length=1, max_length=100)], RewardSettings] = Field({})
    """The named rewards of a prediction, such as `click` and `purchase`: its reward is their weighted sum. A reward
    without a name is one more term, of weight 1. A name that is not declared here is recorded, but does not count."""
    frames: Literal["all", "latest"] = "all"
    """Which of the waiting frames of one stream (`ce_stream`) are predicted: all, or the latest."""
    max_wait_seconds: Annotated[float, Field(gt=0)] | None = None
    """A request that waits longer than this is refused as `expired`, and is a dead letter: then the others are answered
    in time under overload. None: every request waits as long as it takes."""
    execution_providers: tuple[str, ...] = ("CPUExecutionProvider",)
    """ONNX Runtime's execution providers in the order of preference, such as CUDAExecutionProvider. Those that this
    machine or build does not have are left out, with a warning; the CPU is always the last."""
    retraining: RetrainingSettings = RetrainingSettings()
    """The retraining of the task."""
