"""Logs of decisions: context, action, propensity and reward."""

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
"""The largest `step` of a request."""

REQUIRED_COLUMNS = ("action", "propensity", "reward")
_KNOWN_COLUMNS = {*REQUIRED_COLUMNS, "context", "actions", "entity", "time", "episode_id", "step"}


def read_examples(rows: Callable[[], Iterable[TableRow]], uri: str) -> Iterator[ParsedRow]:
    """Yield the decisions of a log: each the request `{"context": {...}, "actions": [{"id": ...}]}` and its outcome.

    A row has `action`, `propensity` and `reward`. Its context is a JSON object in `context`, or all columns without
    another meaning. Its actions are a JSON list in `actions`, or all actions in the log, which is then read twice. With
    `episode_id` and `step` (0, 1, ...) the row is a step of an episode, which is its entity unless it has an `entity`.
    """
    log_actions: list[dict[str, Any]] | None = None
    for where, row in rows():
        if isinstance(row, RejectedRow):
            yield row
            continue
        try:
            if optional_value(row, "actions") is not None:
                yield _parse_row(where, row, _parse_actions(row["actions"]), uri)
                continue
            if log_actions is None:
                log_actions = _collect_actions(rows())
            yield _parse_row(where, row, log_actions, uri)
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))


def _parse_row(where: str, row: dict[str, Any], actions: list[dict[str, Any]], uri: str) -> Example:
    if missing := [name for name in REQUIRED_COLUMNS if optional_value(row, name) is None]:
        raise Rejected("incomplete", f"values are missing: {', '.join(missing)}")
    action = str(row["action"])
    if action not in {possible["id"] for possible in actions}:
        raise Rejected("unknown_action", f"{action!r} is not one of the row's actions")
    if optional_value(row, "context") is not None:
        context = parse_object(row["context"], "context")
    else:
        context = {name: _parse_feature(value) for name, value in row.items() if name not in _KNOWN_COLUMNS}
    episode, entity, time = _episode_fields(row), optional_value(row, "entity"), optional_value(row, "time")
    if entity is None:
        entity = episode.get("episode_id")
    # The content is part of the identity: in a log that grows at its beginning, a row number means another decision.
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
    """Return a request's `episode_id` and `step`, or neither."""
    episode, step = optional_value(row, "episode_id"), optional_value(row, "step")
    if episode is None and step is None:
        return {}
    if episode is None or step is None:
        raise Rejected("incomplete", "episode_id and step belong together: give both, or leave both empty")
    number = parse_number(step, "step", 0, MAX_STEP)
    if not number.is_integer():
        raise Rejected("bad_value", f"step is {number:g}; a whole number is needed")
    return {"episode_id": str(episode), "step": int(number)}


def _collect_actions(rows: Iterable[TableRow]) -> list[dict[str, Any]]:
    actions = {
        str(row["action"]) for _, row in rows if not isinstance(row, RejectedRow) and optional_value(row, "action")
    }
    return [{"id": action} for action in sorted(actions)]


def _parse_actions(value: Any) -> list[dict[str, Any]]:
    """Return the actions in a list of ids or of objects with an `id`. Raises `Rejected`."""
    items = parse_json(value, "actions") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise Rejected("bad_value", "actions must be a JSON list")
    actions = [item if isinstance(item, dict) else {"id": item} for item in items]
    if any("id" not in action for action in actions):
        raise Rejected("bad_value", "each action needs an id")
    return [action | {"id": str(action["id"])} for action in actions]


def _parse_feature(value: Any) -> Any:
    """Return a cell as a number if it is one that JSON can represent, else as it is."""
    try:
        return parse_number(value, "the feature", -1e300, 1e300) if isinstance(value, str) else value
    except Rejected:
        return value
