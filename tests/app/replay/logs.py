"""Logs of a few requests, made by hand."""

from collections.abc import Callable
from typing import Any

import polars as pl

from app.events.cloudevents import Record
from tests.support.request_history import RequestHistory, to_datetime
from tests.support.tasks import Letters

BuildDataset = Callable[..., tuple[pl.DataFrame, dict[str, Any]]]
"""Replays a log; returns the rows and the manifest."""
TASK = Letters()
LATE = to_datetime(1_000_000)
ONE, TWO, THREE = RequestHistory(1), RequestHistory(2, b"xyz", {"sum": 363.0}, 0.4, "2"), RequestHistory(3)


def history(*requests: RequestHistory) -> list[tuple[float, Record]]:
    """Return each request, its features and its prediction, a tenth of a second apart."""
    return [
        (request.number + after, record)
        for request in requests
        for after, record in (
            (0, request.request_record()),
            (0.1, request.features_record(TASK)),
            (0.2, request.prediction_record()),
        )
    ]
