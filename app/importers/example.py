"""What is imported: one example, or why a row is none. Readers are pure: from the text of a source to these."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.events.cloudevents import format_rfc3339
from models.base import Rejected

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a row; what is longer is rejected."""


@dataclass(frozen=True)
class Example:
    """A payload, and what is known of it: a correction, or a reward for the `output` that was given.

    `where` says where it stands, for people. `identity` is the same whenever the same is imported again. `payload` is
    the payload itself, or its URI. With an `output`, that is what was served, with its `propensity`; without one, the
    model is asked. Examples of one `entity` are never in two splits of a dataset. `time` is in RFC 3339.
    """

    where: str
    identity: str
    payload: bytes | str
    correction: dict[str, Any] | None = None
    reward: float | None = None
    output: dict[str, Any] | None = None
    propensity: float = 1.0
    entity: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class RejectedRow:
    """A row that can't be imported, and why."""

    where: str
    code: str
    reason: str


ParsedRow = Example | RejectedRow


def numbered_lines(lines: Iterator[bytes], name: str) -> Iterator[tuple[str, str | RejectedRow]]:
    """Where each line stands, and its text; blank ones are left out."""
    for number, line in enumerate(lines, start=1):
        where = f"{name}:{number}"
        if len(line) > MAX_LINE:
            yield where, RejectedRow(where, "too_long", f"the line has more than {MAX_LINE:,} bytes")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            yield where, RejectedRow(where, "not_utf8", f"the line is no UTF-8 text: {error}")
            continue
        if text.strip():
            yield where, text.rstrip("\r\n")


def parse_json(text: str, what: str) -> Any:
    """The value of JSON. Raises `Rejected` (`not_json`), for numbers that JSON doesn't have as well."""
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise Rejected("not_json", f"{what} is no JSON: {error}") from None


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON's")


def parse_object(value: Any, what: str) -> dict[str, Any]:
    """The value, if it is a JSON object; text is taken for JSON. Raises `Rejected`."""
    if isinstance(value, str):
        value = parse_json(value, what)
    if not isinstance(value, dict):
        raise Rejected("bad_value", f"{what} must be a JSON object")
    return value


def parse_number(value: Any, what: str, low: float, high: float) -> float:
    """The value, if it is a number of this range; so is text that says one. Raises `Rejected`."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise Rejected("bad_value", f"{what} is {value!r}; a number from {low:g} to {high:g} is needed")
    return number


def parse_propensity(value: Any) -> float:
    """The value, if it is a probability above 0. Raises `Rejected`."""
    propensity = parse_number(value, "propensity", 0, 1)
    if not propensity:
        raise Rejected("bad_value", "propensity is 0: what was done had some probability")
    return propensity


def parse_time(value: Any) -> str:
    """The time in RFC 3339, UTC. Raises `Rejected` for what is none, or has no time zone."""
    try:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("it has no time zone")
        return format_rfc3339(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Rejected("bad_value", f"time is {value!r}: {error}; RFC 3339 is needed: 2026-01-31T12:00:00Z") from None


def optional_value(row: Mapping[str, Any], name: str) -> Any | None:
    """A row's value; None where it has none, or an empty cell."""
    value = row.get(name)
    return None if value == "" else value
