"""Prediction ids, derived from the request's identity so that every attempt has the same id."""

import re
import uuid
from functools import lru_cache

PREDICTION_ID = re.compile(r"([a-z][a-z0-9_]*):[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def prediction_id(task: str, source: str, request_id: str) -> str:
    """Return the id of the one served prediction of a request: `<task>:<uuid5(source, request id)>`."""
    return f"{task}:{uuid.uuid5(_namespace(source), request_id)}"


def shadow_id(prediction: str, version: str) -> str:
    """Return the id of a shadow version's prediction, next to this served prediction of the same request."""
    return f"{prediction}:{version}"


@lru_cache(maxsize=1024)
def _namespace(source: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, source)


def task_of(prediction: str) -> str:
    """Return the task of a prediction id. Raises ValueError."""
    match = PREDICTION_ID.fullmatch(prediction)
    if match is None:
        raise ValueError(f"{prediction!r} is not a prediction id: <task>:<uuid> is needed")
    return match[1]
