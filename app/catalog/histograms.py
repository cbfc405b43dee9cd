"""Histograms that the database counts, so that what is read does not grow with the number of rows."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select

from app.catalog.orm import PredictionRow
from app.statistics.histogram import Histogram

LatencyStage = Literal["inference", "total"]

_LATENCY_BINS_PER_MS = 100
_CONFIDENCE_BINS = 10_000


def count_latencies(connection: Connection, predictions: Sequence[Any], stage: LatencyStage = "total") -> Histogram:
    """Return the latency of the predictions that meet the conditions, in ms, to a hundredth."""
    return _count_values(
        connection, PredictionRow.data["timings_ms"][stage].as_float(), predictions, _LATENCY_BINS_PER_MS
    )


def count_confidences(connection: Connection, predictions: Sequence[Any]) -> Histogram:
    """Return the model's own confidence of these predictions, whatever was served, to a ten-thousandth."""
    own, served = (PredictionRow.data[path].as_float() for path in (("memory", "confidence"), ("confidence",)))
    return _count_values(connection, func.coalesce(own, served), predictions, _CONFIDENCE_BINS)


def _count_values(
    connection: Connection, column: ColumnElement[float], conditions: Sequence[Any], bins_per_unit: int
) -> Histogram:
    """Return the values of a column where the conditions hold, rounded towards 0 to bins."""
    bins = cast(column * bins_per_unit, BigInteger)
    rows = connection.execute(select(bins, func.count()).where(*conditions).group_by(bins).order_by(bins)).all()
    values, counts = np.array(rows, np.float64).reshape(-1, 2).T
    return Histogram(values / bins_per_unit, counts)
