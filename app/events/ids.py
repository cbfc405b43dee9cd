"""Ids of predictions: derived from the request's identity, so that every attempt has the same."""

import re
import uuid
from functools import lru_cache

PREDICTION_ID = re.compile(r"([a-z][a-z0-9_]*):[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def prediction_id(task: str, source: str, request_id: str) -> str:
    """The id of a request's one served prediction: `<task>:<uuid5(source, request id)>`."""
    return f"{task}:{uuid.uuid5(_namespace(source), request_id)}"


def shadow_id(prediction: str, version: str) -> str:
    """The id of what a shadow says of the request that has this served prediction."""
    return f"{prediction}:{version}"


@lru_cache(maxsize=1024)
def _namespace(source: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, source)


def task_of(prediction: str) -> str:
    """The task that a prediction's id names. Raises ValueError."""
    found = PREDICTION_ID.fullmatch(prediction)
    if found is None:
        raise ValueError(f"{prediction!r} is no prediction id: <task>:<uuid>")
    return found[1]
