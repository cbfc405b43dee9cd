"""The errors of the client."""

from app.events.types import PredictionFailed


class ClientError(Exception):
    """An error of the client, with a message for the caller."""


class PredictionError(ClientError):
    """The platform answered that it can't predict this request."""

    def __init__(self, answer: PredictionFailed) -> None:
        super().__init__(f"{answer.error.reason} ({answer.error.stage}: {answer.error.code})")
        self.answer = answer
