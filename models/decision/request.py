"""From a request in JSON to tensors."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from models.base import Features, Rejected
from models.decision.schema import Schema

MAX_ACTIONS = 1000
PADDED_COUNTS = (4, 8, 16, 32, 64, 128, 256, 512, MAX_ACTIONS)
"""What the number of actions is padded to: finer steps waste less computing, coarser ones make fuller batches."""
MAX_ID_BYTES = 200
MAX_STEP = 2**31 - 1
MAX_POSITIONS = 10
_EXAMPLE = '{"context": {...}, "actions": [{"id": "...", ...}, ...]}'
_IN_EPISODE = '"episode_id": "...", "step": 0'
_FIELDS = {"context", "actions", "episode_id", "step", "allowed", "forbidden", "positions"}


class Step(NamedTuple):
    """Where in an episode a decision is: the episode's id, and the number of the step, from 0."""

    episode: str
    number: int


class Request(NamedTuple):
    """A request that is not yet checked against a schema: context and actions as they are in its JSON.

    `allowed` and `forbidden` are ids of actions, `positions` is the size of a slate; None where the request lacks it.
    """

    context: dict[str, Any]
    actions: list[Any]
    step: Step | None = None
    allowed: frozenset[str] | None = None
    forbidden: frozenset[str] | None = None
    positions: int | None = None


def read_request(payload: bytes) -> Request:
    """Return a request. Raises `Rejected`."""
    try:
        text = payload.decode(json.detect_encoding(payload))
        request = json.loads(text, parse_constant=_not_finite, object_pairs_hook=_unique)
    except Rejected:
        raise
    except RecursionError:
        raise Rejected("too_deep", f"the JSON is nested too deeply; a request is {_EXAMPLE}") from None
    except ValueError as error:  # of the encoding, of JSON, of integers with thousands of digits
        raise Rejected(
            "not_json", f"the payload is not JSON in UTF-8 or UTF-16: {error}; a request is {_EXAMPLE}"
        ) from error
    if not isinstance(request, dict):
        raise Rejected("not_an_object", f"the JSON is of {type(request).__name__}; a request is {_EXAMPLE}")
    if unknown := sorted(request.keys() - _FIELDS):
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
    masks = _ids(request, "allowed"), _ids(request, "forbidden")
    return Request(context, actions, _step(request), *masks, _positions(request))


def _positions(request: dict[str, Any]) -> int | None:
    if "positions" not in request:
        return None
    if "episode_id" in request:
        raise Rejected("slate_in_episode", "a step of an episode is one action: leave out `positions` or `episode_id`")
    positions = request["positions"]
    if isinstance(positions, bool) or not isinstance(positions, int) or not 1 <= positions <= MAX_POSITIONS:
        raise Rejected("bad_positions", f"`positions` must be a whole number from 1 to {MAX_POSITIONS}")
    return positions


def _ids(request: dict[str, Any], field: str) -> frozenset[str] | None:
    """Return the ids of actions in a field of a mask; None if the request lacks it."""
    if field not in request:
        return None
    if not isinstance(request[field], list):
        raise Rejected("bad_mask", f"`{field}` must be a list of actions' ids")
    return frozenset(_id(given, f"each id in `{field}`", "bad_mask").decode() for given in request[field])


def _step(request: dict[str, Any]) -> Step | None:
    if "episode_id" not in request and "step" not in request:
        return None
    if "step" not in request:
        raise Rejected("missing_step", f"there is an `episode_id` but no `step`; both are needed: {_IN_EPISODE}")
    if "episode_id" not in request:
        raise Rejected("missing_episode_id", f"there is a `step` but no `episode_id`; both are needed: {_IN_EPISODE}")
    number = request["step"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_STEP:
        raise Rejected("bad_step", f"`step` must be a whole number from 0 to {MAX_STEP:,}: {_IN_EPISODE}")
    return Step(_id(request["episode_id"], "`episode_id`", "bad_episode_id").decode(), number)


def encode(schema: Schema, request: Request) -> Features:
    """Return the tensors of a request: see `Decision`. Raises `Rejected`.

    If no action has any feature of the schema, as in a log of ids, all are zeros, and alike to the model.
    """
    context, actions, step, *_ = request
    numbers = np.zeros(1 + schema.context.columns, np.float32)
    numbers[0] = 1.0
    schema.context.encode(context, "the context", numbers[1:])
    rows = np.zeros((len(actions), schema.actions.columns), np.float32)
    has_features = any(isinstance(action, dict) and action.keys() & schema.actions.kinds.keys() for action in actions)
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
        if has_features:
            schema.actions.encode(action, f"action {place}", rows[place])
    features: Features = {
        "context": numbers,
        "actions": rows,
        "ids": np.frombuffer(b"".join(ids), np.uint8),
        "offsets": np.cumsum([0, *map(len, ids)], dtype=np.int32),
    }
    ignored = len(context.keys() - schema.context.kinds.keys()) + sum(
        len(action.keys() - schema.actions.kinds.keys() - {"id"}) for action in actions
    )
    if ignored:
        features["ignored"] = np.array([ignored], np.int32)
    if step is not None:
        features |= {
            "episode": np.frombuffer(step.episode.encode(), np.uint8),
            "step": np.array([step.number], np.int32),
        }
    return features


def action_id(given: object, where: str) -> bytes:
    """Return an action's id as UTF-8. Raises `Rejected`."""
    return _id(given, where, "bad_id")


def _id(given: object, where: str, code: str) -> bytes:
    if not isinstance(given, str) or not given:
        raise Rejected(code, f"{where} must be a string that is not empty")
    try:
        key = given.encode()
    except UnicodeEncodeError:
        raise Rejected(code, f"{where} is not Unicode text: it has half of a surrogate pair") from None
    if len(key) > MAX_ID_BYTES:
        raise Rejected(code, f"{where} has {len(key):,} bytes; at most {MAX_ID_BYTES} are taken")
    return key


def ids_of(features: Features) -> list[str]:
    """Return the ids of a request's actions, in its order."""
    text, ends = features["ids"].tobytes(), features["offsets"].tolist()
    return [text[start:end].decode() for start, end in pairwise(ends)]


def step_of(features: Features) -> Step | None:
    """Return where in an episode a request is; None where it is of none."""
    if "episode" not in features:
        return None
    return Step(features["episode"].tobytes().decode(), int(features["step"][0]))


def unknown_features(schema: Schema, features: Features) -> dict[str, int]:
    """Return how many values of each category are unknown, and as `other` how many features."""
    context = schema.context.count_unknown(features["context"][None, 1:])
    actions = schema.actions.count_unknown(features["actions"])
    counts = {f"context.{name}": count for name, count in context.items()}
    counts |= {f"actions.{name}": count for name, count in actions.items()}
    if "ignored" in features:
        counts["other"] = int(features["ignored"][0])
    return {name: count for name, count in counts.items() if count}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raises `Rejected` if it has a name twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Rejected("duplicate_name", f"an object has {ascii(repeated)[:200]} twice; give each name once")
    return made


def _not_finite(constant: str) -> float:
    raise Rejected("not_finite", f"the JSON has {constant}; numbers must be finite")
