"""Checks that the corrections of all kinds of foreign tasks share."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.base import Rejected

NAMED = 20


def checked_class(correction: Mapping[str, Any], field: str, names: Sequence[str], ignored: Sequence[str] = ()) -> str:
    """Return the class that a correction of one field names. Raises `Rejected`."""
    shape = f"a correction is {{'{field}': ...}} with one of {listed(names)}"
    if unknown := sorted(str(key) for key in correction if key not in (field, *ignored)):
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {shape}")
    value = correction.get(field)
    if not isinstance(value, str) or value not in names:
        raise Rejected("unknown_value", f"{str(value)[:50]!r} is not known; {shape}")
    return value


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
