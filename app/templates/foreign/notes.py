"""What is known about a foreign model and from where, and what is only assumed."""

from dataclasses import dataclass, field

from app.errors import SetupError


@dataclass
class Notes:
    """Sentences for the output of the command and for the files that it writes."""

    known: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def unusable(reason: str, remedy: str) -> SetupError:
    """Return the error for a model of which no task can be written."""
    return SetupError(f"No task can be written for this model: {reason}.", remedy)
