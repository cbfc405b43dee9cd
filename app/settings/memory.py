"""The settings of a task's memory of corrections."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class CorrectionMemorySettings(BaseModel):
    """How much the memory of corrections holds. `{}` has the default limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """The number of inputs whose corrections it holds; of more, it forgets those that were corrected longest ago."""
    max_age_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 24 * 7
    """The time after which it forgets a correction. A starting worker reads the outcomes of this time."""
    near: bool = False
    """Whether a correction also answers near-repeats: another copy of the input, such as the same picture encoded
    otherwise, by the task's `near_key`, for which the model answers the same. Keys are kept in predictions and
    outcomes."""
