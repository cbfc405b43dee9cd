"""The settings of a task's named rewards."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class RewardSettings(BaseModel):
    """What one named reward, such as `click`, adds to the reward of a prediction.

    The reward of a prediction is the weighted sum over its names, clipped to the range of rewards, -1 to 1. Nothing is
    clipped if the weights' absolute values sum to 1 and no name is summed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    weight: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0
    """The factor of the name's combined reward. A negative one makes a cost of it; 0 records it only."""
    window_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """The attribution window: a reward of this name counts if it is given within this time of the prediction. None is
    the task's `reward_window_seconds`. A purchase needs a longer one than a click."""
    combine: Literal["latest", "sum", "max", "first"] = "latest"
    """How several rewards of this name become one: a measurement that is repeated needs `latest`, amounts `sum`, and
    a signal that may be sent twice `max` or `first`."""
