"""What feedback says of two outputs."""

from typing import Any

from app.events.base import FrozenModel


class Preference(FrozenModel):
    """A comparison of the served output with another output for the same request."""

    output: dict[str, Any]
    """The other output, in the same format as the prediction's."""
    better: bool
    """Whether the other output is better than the served one; false if it is worse."""
