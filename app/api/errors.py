"""What HTTP answers where the log can't be asked, or what is asked for can't be done: one way for all routes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import HTTPException

from app.api.feedback import RETRY_AFTER
from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from models.base import Task


@contextmanager
def http_errors() -> Iterator[None]:
    """What is raised inside, as an answer: 409 with the reason and the remedy, or 503 for what passes."""
    try:
        yield
    except SetupError as error:
        raise HTTPException(409, error.one_line) from None
    except TRANSIENT_ERRORS as error:
        raise HTTPException(503, str(error), {"Retry-After": RETRY_AFTER}) from None


def require_task(tasks: Mapping[str, Task], task: str) -> Task:
    """The task of this name, or 404 with those that there are."""
    if task not in tasks:
        raise HTTPException(404, f"there is no task {task!r}; known: {', '.join(sorted(tasks))}")
    return tasks[task]
