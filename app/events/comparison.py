"""The comparison of a candidate with its champion: over time, and by slice."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.events.base import (
    Attribute,
    Count,
    EventData,
    FrozenModel,
    ModelRef,
    Name,
    Reason,
    RunId,
    Share,
    TaskName,
    VersionNumber,
)

Measured = tuple[float, float, float]
"""A value, and the lower and the upper end of its interval."""


class ComparedPart(FrozenModel):
    """Candidate and champion on a part of the evidence. A value is null if there is no interval."""

    slice: Attribute | None = None
    """The value of the column; null for a span of time."""
    start: datetime | None = None
    """The time of the first request."""
    end: datetime | None = None
    """The time of the last request."""
    count: Count
    """The number of decisions, episodes or outcomes."""
    entities: Count
    """The number of entities that these are of."""
    effective: float
    """The effective sample size, of the version for which it is smaller."""
    candidate: Measured | None
    """The candidate's value, with an interval of this part alone."""
    champion: Measured | None
    """The champion's value, likewise."""
    difference: Measured | None
    """The paired difference. The intervals of all spans and slices hold at once, that of the total by itself."""
    doubts: tuple[Reason, ...] = ()
    """Reasons not to trust these intervals."""


class ComparedSlices(FrozenModel):
    """The slices by a column, the largest first."""

    column: Name
    """The column of the dataset, `confidence` in bands, or `preferred`: the output that the serving version preferred.
    """
    parts: Annotated[tuple[ComparedPart, ...], Field(max_length=100)]
    left_out: Count
    """The number of smaller slices."""


class Comparison(FrozenModel):
    """A candidate and its champion on the same evidence, which neither learned from."""

    evidence: Literal["off_policy", "outcomes"]
    """Whether it is rewards, by which both are valued off policy, or audited labels, on which both are scored."""
    unit: Literal["decision", "slate", "episode", "outcome"]
    """What the value is the mean of."""
    estimator: Name
    """`dr`, `snips`, or `score`."""
    level: Share
    """The confidence level of the intervals."""
    simultaneous: Count
    """The number of differences whose intervals hold at once."""
    total: ComparedPart
    """All of the evidence."""
    over_time: Annotated[tuple[ComparedPart, ...], Field(max_length=100)] = ()
    """Spans with equal counts, as many as the evidence carries."""
    slices: Annotated[tuple[ComparedSlices, ...], Field(max_length=100)] = ()
    """The slices by each column."""


class ModelCompared(EventData):
    """A candidate was compared with the champion, over time and by slice."""

    type: ClassVar[str] = "hindsight.model.compared.v1"
    task: TaskName
    run_id: RunId
    model: ModelRef
    """The candidate."""
    champion: VersionNumber
    """The version that it was compared with."""
    dataset: Name
    """The content hash of the dataset; only its rows of the split `test` count."""
    comparisons: Annotated[tuple[Comparison, ...], Field(max_length=2)]
    """By rewards and by labels, as far as there are any."""
