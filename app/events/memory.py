"""The parts of predictions and outcomes that say that a remembered correction answered instead of the model."""

from typing import Annotated, Any

from pydantic import Field

from app.events.base import Attribute, FrozenModel, Probability, Share

InputDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NearKey = Annotated[str, Field(max_length=16_384)]


class MemoryAnswer(FrozenModel):
    """The correction that is served instead of the model's own prediction, and that prediction."""

    corrected: Attribute
    """The prediction that was corrected, for an equal input or a nearly equal one."""
    outcome: Attribute
    """The `ce_id` of its outcome, whose label is served."""
    output: dict[str, Any]
    """The model's own output."""
    confidence: Share
    """The confidence of the model's own output."""
    propensity: Probability
    """The propensity of the model's own output."""
    near_distance: Annotated[int, Field(ge=0)] | None = None
    """The distance of the input from the corrected one, if they are only nearly equal; null for an equal input."""


class MemoryOutcome(FrozenModel):
    """A correction that was served instead of the model's output, joined with the feedback on it."""

    outcome: Attribute
    """The `ce_id` of the outcome whose label was served."""
    output: dict[str, Any]
    """The output that was served."""
    score: float | None = None
    """Its score against the label; 1 is perfect."""
    accepted: bool | None = None
    """Whether it was accepted as right."""
    reward: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Its reward: the model's own output was not served, and has none."""

    @property
    def right(self) -> bool | None:
        """Whether people found it right; None if nobody said so."""
        if self.score is not None:
            return self.score >= 1.0
        return self.accepted
