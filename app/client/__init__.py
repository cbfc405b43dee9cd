"""The Python client of applications: `from app.client import Hindsight`."""

from app.client.answers import Answer
from app.client.client import RECORD_OVERHEAD_BYTES, Hindsight
from app.client.errors import ClientError, PredictionError
from app.client.summaries import first_line, summarize_output

__all__ = [
    "RECORD_OVERHEAD_BYTES",
    "Answer",
    "ClientError",
    "Hindsight",
    "PredictionError",
    "first_line",
    "summarize_output",
]
