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
    def in_a_line(self) -> str:
        """The same for a page or an answer."""
        return f"{self.message} {self.remedy}"
