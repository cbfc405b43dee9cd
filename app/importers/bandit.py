"""Logs of decisions: what was known, what was done, how probable that was, and what it earned."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from app.importers.example import (
    Example,
    ParsedRow,
    RejectedRow,
    optional_value,
    parse_json,
    parse_number,
    parse_object,
    parse_propensity,
    parse_time,
)
from app.importers.tables import TableRow
from models.base import Rejected

MAX_STEP = 2**31 - 1
"""As large as a request's `step` may be."""

REQUIRED_COLUMNS = ("action", "propensity", "reward")
_KNOWN_COLUMNS = {*REQUIRED_COLUMNS, "context", "actions", "entity", "time", "episode_id", "step"}


def read_examples(rows: Callable[[], Iterable[TableRow]], uri: str) -> Iterator[ParsedRow]:
    """The decisions of a log, each the request `{"context": {...}, "actions": [{"id": ...}]}` and its outcome.

    A row has `action`, `propensity` and `reward`. Its context is a JSON object in `context`, or all columns that have
    no other meaning; its actions are a JSON list in `actions`, or all that the log names (then it is read twice).
    With `episode_id` and `step` (0, 1, ...) it is a step of an episode; its entity is the episode unless it says so.
    """
    named: list[dict[str, Any]] | None = None
    for where, row in rows():
        if isinstance(row, RejectedRow):
            yield row
            continue
        try:
            if optional_value(row, "actions") is not None:
                yield _parse_row(where, row, _parse_actions(row["actions"]), uri)
                continue
            if named is None:
                named = _collect_actions(rows())
            yield _parse_row(where, row, named, uri)
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))


def _parse_row(where: str, row: dict[str, Any], actions: list[dict[str, Any]], uri: str) -> Example:
    if lacking := [name for name in REQUIRED_COLUMNS if optional_value(row, name) is None]:
        raise Rejected("incomplete", f"{', '.join(lacking)} can't be left out")
    action = str(row["action"])
    if action not in {one["id"] for one in actions}:
        raise Rejected("unknown_action", f"{action!r} is none of the row's actions")
    if optional_value(row, "context") is not None:
        context = parse_object(row["context"], "context")
    else:
        context = {name: _parse_feature(value) for name, value in row.items() if name not in _KNOWN_COLUMNS}
    episode, entity, time = _episode_fields(row), optional_value(row, "entity"), optional_value(row, "time")
    if entity is None:
        entity = episode.get("episode_id")
    # By its content as well: a log that grows at its beginning is another one, not the same with other decisions in it.
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
    return Example(
        where=where,
        identity=f"{uri}#{where.rpartition(':')[2]}/{digest}",
        payload=json.dumps({"context": context, "actions": actions, **episode}).encode(),
        reward=parse_number(row["reward"], "reward", -1, 1),
        output={"action": action},
        propensity=parse_propensity(row["propensity"]),
        entity=None if entity is None else str(entity),
        time=None if time is None else parse_time(time),
    )


def _episode_fields(row: dict[str, Any]) -> dict[str, Any]:
    """What a request says of its episode: both, or nothing."""
    episode, step = optional_value(row, "episode_id"), optional_value(row, "step")
    if episode is None and step is None:
        return {}
    if episode is None or step is None:
        raise Rejected("incomplete", "episode_id and step go together: give both, or leave both empty")
    number = parse_number(step, "step", 0, MAX_STEP)
    if not number.is_integer():
        raise Rejected("bad_value", f"step is {number:g}; a whole number is needed")
    return {"episode_id": str(episode), "step": int(number)}


def _collect_actions(rows: Iterable[TableRow]) -> list[dict[str, Any]]:
    found = {
        str(row["action"]) for _, row in rows if not isinstance(row, RejectedRow) and optional_value(row, "action")
    }
    return [{"id": action} for action in sorted(found)]


def _parse_actions(value: Any) -> list[dict[str, Any]]:
    """Ids, or objects with an `id`."""
    listed = parse_json(value, "actions") if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise Rejected("bad_value", "actions must be a JSON list")
    actions = [one if isinstance(one, dict) else {"id": one} for one in listed]
    if any("id" not in one for one in actions):
        raise Rejected("bad_value", "each of actions needs an id")
    return [one | {"id": str(one["id"])} for one in actions]


def _parse_feature(value: Any) -> Any:
    """A cell as a number, if it is one that JSON has."""
    try:
        return parse_number(value, "it", -1e300, 1e300) if isinstance(value, str) else value
    except Rejected:
        return value
