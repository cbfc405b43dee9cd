"""What can go wrong while setting up, said so that the reader knows what to do next."""


class SetupError(Exception):
    """A problem of this machine or its settings: what is wrong, and the remedy. Shown without a traceback."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  Remedy: {self.remedy}"

    @property
    def one_line(self) -> str:
        """The same for a page or an answer."""
        return f"{self.message} {self.remedy}"


class Unavailable(Exception):
    """Something that is needed is away; it may come back."""


class Unpublishable(Exception):
    """The broker will never take this record."""


class Unconfirmed(Exception):
    """The broker has not confirmed a record in time. It may still arrive: a retry needs the same event id."""


class RequestRefused(Exception):
    """MLServer is there and has the model, but doesn't take this request."""
