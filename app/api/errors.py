"""Errors of the platform as HTTP errors, the same for all routes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import HTTPException

from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.tasks import unknown_task
from models.base import Task

RETRY_AFTER = "2"
"""Seconds after which a client may try again, as the header of a 503."""


@contextmanager
def http_errors() -> Iterator[None]:
    """Turn `SetupError` into 409 with reason and remedy, and transient errors into 503."""
    try:
        yield
    except SetupError as error:
        raise HTTPException(409, error.one_line) from None
    except TRANSIENT_ERRORS as error:
        raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER}) from None


def require_task(tasks: Mapping[str, Task], task: str) -> Task:
    """Return the task of this name. Raises HTTPException 404 with the known tasks."""
    if task not in tasks:
        raise HTTPException(404, unknown_task(task, tasks).one_line)
    return tasks[task]
