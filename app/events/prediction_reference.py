"""The part of feedback events that refers to a prediction."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from app.events import topics
from app.events.base import EventData, TaskName
from app.events.cloudevents import MAX_ATTRIBUTE_LENGTH
from app.events.ids import prediction_id, task_of

EventAttribute = Annotated[
    str, Field(min_length=1, max_length=MAX_ATTRIBUTE_LENGTH, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
"""An attribute of another event, within the limits of `cloudevents.decode_headers`."""


class PredictionReference(EventData):
    """Data that refers to a prediction by its id, or by its task and the request's id."""

    model_config = ConfigDict(strict=True)  # over HTTP as in Kafka: "false" is not a bool
    prediction_id: Annotated[str, Field(max_length=200)] | None = None
    """The prediction."""
    task: TaskName | None = None
    """The prediction's task."""
    request_id: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_LENGTH)] | None = None
    """The `ce_id` of the prediction's request."""
    request_source: Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_LENGTH)] | None = None
    """The `ce_source` of the prediction's request; null for a request that was sent without one."""

    def check_reference(self) -> Self:
        """Return this data. Raises ValueError unless it refers to a prediction in one of the two ways."""
        if self.prediction_id is None and (self.task is None or self.request_id is None):
            raise ValueError("either prediction_id, or task and request_id, is needed")
        if self.prediction_id is not None and (self.request_id is not None or self.request_source is not None):
            raise ValueError("prediction_id and request_id exclude each other")
        if self.prediction_id is not None and task_of(self.prediction_id) != (self.task or task_of(self.prediction_id)):
            raise ValueError(f"prediction_id is not of task {self.task!r}")
        return self

    @property
    def task_and_prediction(self) -> tuple[str, str]:
        """Return the task, and the prediction's id, which is the key of this event's record."""
        if self.prediction_id is not None:
            return task_of(self.prediction_id), self.prediction_id
        assert self.task is not None and self.request_id is not None
        return self.task, prediction_id(
            self.task, self.request_source or f"kafka:{topics.requests(self.task)}", self.request_id
        )
