"""One example, or the reason why a row is rejected, and parsers of values. Pure: the readers turn text into these."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.events.cloudevents import format_rfc3339
from models.base import Rejected


@dataclass(frozen=True)
class Example:
    """A payload with a correction, or with a reward for the `output` that was served.

    `where` is its place in the source, for messages. `identity` is the same in every import. `payload` is the payload
    or its URI. An `output` was served with its `propensity`; without one, the model predicts. Examples of one `entity`
    are never in two splits of a dataset. `time` is in RFC 3339.
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
    """A row that can't be imported, and the reason."""

    where: str
    code: str
    reason: str


ParsedRow = Example | RejectedRow


def parse_json(text: str, what: str) -> Any:
    """Return the value of a JSON text. Raises `Rejected` (`not_json`), also for NaN and infinity."""
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise Rejected("not_json", f"{what} is not valid JSON: {error}") from None


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def parse_object(value: Any, what: str) -> dict[str, Any]:
    """Return the value if it is a JSON object, or the text of one. Raises `Rejected`."""
    if isinstance(value, str):
        value = parse_json(value, what)
    if not isinstance(value, dict):
        raise Rejected("bad_value", f"{what} must be a JSON object")
    return value


def parse_number(value: Any, what: str, low: float, high: float) -> float:
    """Return the value if it is a number in this range, or the text of one. Raises `Rejected`."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise Rejected("bad_value", f"{what} is {value!r}; a number from {low:g} to {high:g} is needed")
    return number


def parse_propensity(value: Any) -> float:
    """Return the value if it is a probability above 0. Raises `Rejected`."""
    propensity = parse_number(value, "propensity", 0, 1)
    if not propensity:
        raise Rejected("bad_value", "propensity is 0, but the action was taken: a probability above 0 is needed")
    return propensity


def parse_time(value: Any) -> str:
    """Return the time in RFC 3339, UTC. Raises `Rejected` for an invalid time, or one without a time zone."""
    try:
        time = datetime.fromisoformat(str(value))
        if time.tzinfo is None:
            raise ValueError("it has no time zone")
        return format_rfc3339(time.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Rejected("bad_value", f"time is {value!r}: {error}; RFC 3339 is needed: 2026-01-31T12:00:00Z") from None


def optional_value(row: Mapping[str, Any], name: str) -> Any | None:
    """Return a row's value; None if it is missing or an empty cell."""
    value = row.get(name)
    return None if value == "" else value
