"""Errors of the platform that several modules raise or handle."""


class SetupError(Exception):
    """Problem of this machine or its settings, with a remedy. Shown without a traceback."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  Remedy: {self.remedy}"

    @property
    def one_line(self) -> str:
        """Message and remedy in one line, for a page or a response."""
        return f"{self.message} {self.remedy}"


class Unavailable(Exception):
    """A dependency is away; it may come back."""


class Unpublishable(Exception):
    """The broker will never accept this record."""


class Unconfirmed(Exception):
    """The broker has not confirmed a record in time. It may still arrive: a retry needs the same event id."""


class RequestRefused(Exception):
    """MLServer has the model, but does not accept this request."""


def describe(error: BaseException) -> str:
    """Return the text of an error, or its type where it has none, as TimeoutError often hasn't."""
    return str(error) or type(error).__name__
