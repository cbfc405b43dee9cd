"""The Python client of applications: `from app.client import Hindsight`."""

from app.client.client import HEADROOM, Answer, ClientError, Hindsight, PredictionFailed

__all__ = ["HEADROOM", "Answer", "ClientError", "Hindsight", "PredictionFailed"]
