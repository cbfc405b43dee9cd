"""Vowpal Wabbit's log of decisions, dsjson (vowpalwabbit.org/docs, "Decision Service JSON"): one per line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from app.importers.example import (
    Example,
    ParsedRow,
    RejectedRow,
    parse_number,
    parse_object,
    parse_propensity,
    parse_time,
)
from app.importers.tables import TableRow, read_jsonl
from models.base import Rejected

_LABEL = "_label_cost"


def is_dsjson(lines: Iterable[bytes]) -> bool:
    """Return whether a file begins like dsjson."""
    _, first = next(read_jsonl(lines, ""), ("", {}))
    return isinstance(first, dict) and _LABEL in first


def read_examples(rows: Iterable[TableRow]) -> Iterator[ParsedRow]:
    """Yield the decisions of a log: each a request and its outcome. The reward is the cost with the other sign.

    Features have their own names, not those of their namespaces. An action's id is its feature `id`, if each action has
    one, else its number: 1, 2, ...
    """
    for where, row in rows:
        if isinstance(row, RejectedRow):
            yield row
            continue
        try:
            yield _parse_row(where, row)
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))


def _parse_row(where: str, row: dict[str, Any]) -> Example:
    event, shared = row.get("EventId"), parse_object(row.get("c"), "`c`")
    listed = shared.get("_multi")
    if not isinstance(listed, list) or not all(isinstance(action, dict) for action in listed):
        raise Rejected("bad_value", "`c` needs the actions, `_multi`, a list of objects")
    if not isinstance(event, str) or not event:
        raise Rejected("incomplete", "values are missing: EventId")
    actions = [_flatten(action) for action in listed]
    ids = [action.get("id") for action in actions]
    if not all(isinstance(given, str | int) for given in ids) or len({str(given) for given in ids}) < len(ids):
        ids = list(range(1, len(ids) + 1))
    actions = [{**action, "id": str(given)} for action, given in zip(actions, ids, strict=True)]
    propensity = parse_propensity(row.get("_label_probability"))
    chosen = _chosen(row, len(actions), propensity)
    return Example(
        where=where,
        identity=f"dsjson:{event}",
        payload=json.dumps({"context": _flatten(shared), "actions": actions}).encode(),
        reward=-parse_number(row.get(_LABEL), _LABEL, -1, 1) + 0.0,
        output={"action": actions[chosen]["id"]},
        propensity=propensity,
        time=None if row.get("Timestamp") is None else parse_time(row["Timestamp"]),
    )


def _chosen(row: dict[str, Any], count: int, propensity: float) -> int:
    """Return the index of the action that was taken. Raises `Rejected` if the row contradicts itself."""
    given = [row[name] - first for name, first in (("_labelIndex", 0), ("_label_Action", 1)) if _is_index(row, name)]
    if len(set(given)) != 1 or not 0 <= given[0] < count:
        raise Rejected("unknown_action", f"_label_Action and _labelIndex name none of the {count} actions")
    order, probabilities = row.get("a"), row.get("p")
    if isinstance(order, list) and isinstance(probabilities, list) and given[0] + 1 in order[: len(probabilities)]:
        logged = parse_number(probabilities[order.index(given[0] + 1)], "p", 0, 1)
        if abs(logged - propensity) > 1e-3:
            raise Rejected("bad_value", f"`p` gives the action {logged:g}, _label_probability {propensity:g}")
    return int(given[0])


def _is_index(row: dict[str, Any], name: str) -> bool:
    return isinstance(row.get(name), int) and not isinstance(row[name], bool)


def _flatten(features: dict[str, Any]) -> dict[str, Any]:
    """Return the features of all namespaces. Raises `Rejected` if two have the same name."""
    flat: dict[str, Any] = {}
    for name, value in features.items():
        if name.startswith("_"):
            continue
        parts = value if isinstance(value, list) and all(isinstance(part, dict) for part in value) else [value]
        for part in parts:
            inner = _flatten(part) if isinstance(part, dict) else {name: part}
            if repeated := inner.keys() & flat.keys():
                raise Rejected("bad_value", f"more than one feature is called {min(repeated)!r}")
            flat |= inner
    return flat
