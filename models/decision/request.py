"""From a request in JSON to tensors."""

import json
from itertools import pairwise
from typing import Any

import numpy as np

from models.base import Features, Rejected
from models.decision.schema import Schema

MAX_ACTIONS = 1000
MAX_ID_BYTES = 200
_EXAMPLE = '{"context": {...}, "actions": [{"id": "...", ...}, ...]}'


def read_request(payload: bytes) -> tuple[dict[str, Any], list[Any]]:
    """A request's context and actions, not yet held against a schema. Raises `Rejected`."""
    try:
        request = json.loads(payload.decode(), parse_constant=_not_finite)
    except Rejected:
        raise
    except RecursionError:
        raise Rejected("too_deep", f"the JSON is nested too deeply; a request is {_EXAMPLE}") from None
    except ValueError as error:  # of UTF-8, of JSON, of integers with thousands of digits
        raise Rejected("not_json", f"the payload is no JSON in UTF-8: {error}; a request is {_EXAMPLE}") from error
    if not isinstance(request, dict):
        raise Rejected("not_an_object", f"the JSON is of {type(request).__name__}; a request is {_EXAMPLE}")
    if unknown := sorted(request.keys() - {"context", "actions"}):
        raise Rejected("unknown_field", f"unknown fields: {ascii(unknown)[:200]}; a request is {_EXAMPLE}")
    context, actions = request.get("context"), request.get("actions")
    if not isinstance(context, dict):
        raise Rejected("bad_context", f"`context` must be an object of features; a request is {_EXAMPLE}")
    if not isinstance(actions, list):
        raise Rejected("bad_actions", f"`actions` must be a list of objects; a request is {_EXAMPLE}")
    if not actions:
        raise Rejected("no_actions", f"there are no actions to choose from; 1 to {MAX_ACTIONS:,} are taken")
    if len(actions) > MAX_ACTIONS:
        raise Rejected("too_many_actions", f"{len(actions):,} actions; 1 to {MAX_ACTIONS:,} are taken")
    return context, actions


def encode(schema: Schema, context: dict[str, Any], actions: list[Any]) -> Features:
    """The tensors of a request: see `Decision`. Raises `Rejected`."""
    numbers = np.zeros(1 + schema.context.columns, np.float32)
    numbers[0] = 1.0
    schema.context.encode(context, "the context", numbers[1:])
    rows = np.zeros((len(actions), schema.actions.columns), np.float32)
    ids: dict[bytes, int] = {}
    for place, action in enumerate(actions):
        if not isinstance(action, dict):
            raise Rejected("bad_action", f"action {place} is of {type(action).__name__}; an object is needed")
        key = action_id(action.get("id"), f"`id` of action {place}")
        if key in ids:
            raise Rejected(
                "duplicate_id", f"actions {ids[key]} and {place} have the same id; each needs one of its own"
            )
        ids[key] = place
        schema.actions.encode({name: action[name] for name in action if name != "id"}, f"action {place}", rows[place])
    return {
        "context": numbers,
        "actions": rows,
        "ids": np.frombuffer(b"".join(ids), np.uint8),
        "offsets": np.cumsum([0, *map(len, ids)], dtype=np.int32),
    }


def action_id(given: object, where: str) -> bytes:
    """An action's id as UTF-8. Raises `Rejected`."""
    if not isinstance(given, str) or not given:
        raise Rejected("bad_id", f"{where} must be a string that is not empty")
    try:
        key = given.encode()
    except UnicodeEncodeError:
        raise Rejected("bad_id", f"{where} is no Unicode text: it has half of a surrogate pair") from None
    if len(key) > MAX_ID_BYTES:
        raise Rejected("bad_id", f"{where} has {len(key):,} bytes; at most {MAX_ID_BYTES} are taken")
    return key


def ids_of(features: Features) -> list[str]:
    """The ids of a request's actions, in its order."""
    text, ends = features["ids"].tobytes(), features["offsets"].tolist()
    return [text[start:end].decode() for start, end in pairwise(ends)]


def _not_finite(constant: str) -> float:
    raise Rejected("not_finite", f"the JSON has {constant}; numbers must be finite")
