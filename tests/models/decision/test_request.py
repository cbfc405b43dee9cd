"""Requests: what becomes of good ones, and what is said of bad ones."""

import json
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Rejected
from models.decision.request import (
    MAX_ACTIONS,
    MAX_ID_BYTES,
    MAX_STEP,
    Request,
    Step,
    encode,
    ids_of,
    read_request,
    step_of,
    unknown_features,
)
from models.decision.schema import Schema

SCHEMA = Schema.of(
    {
        "context": {"age": "numeric", "device": ["phone", "desktop"]},
        "actions": {"price": "numeric", "kind": ["a", "b", "c"]},
    }
)
REQUEST: dict[str, Any] = {
    "context": {"age": 42, "device": "desktop"},
    "actions": [{"id": "x", "price": 1.5, "kind": "a"}, {"id": "ü", "price": -2, "kind": "c"}],
}


def features(request: object) -> dict[str, Any]:
    return encode(SCHEMA, read_request(json.dumps(request).encode()))


def test_a_request_becomes_numbers_in_the_order_of_the_schema() -> None:
    made = features(REQUEST)
    np.testing.assert_array_equal(made["context"], np.array([1, 42, 0, 1], np.float32))
    np.testing.assert_array_equal(made["actions"], np.array([[1.5, 1, 0, 0], [-2, 0, 0, 1]], np.float32))
    assert {name: tensor.dtype.name for name, tensor in made.items()} == {
        "context": "float32",
        "actions": "float32",
        "ids": "uint8",
        "offsets": "int32",
    }


def test_the_order_in_which_features_are_given_does_not_matter() -> None:
    turned = {
        "actions": [dict(reversed(action.items())) for action in REQUEST["actions"]],
        "context": dict(reversed(REQUEST["context"].items())),
    }
    for one, other in zip(features(REQUEST).values(), features(turned).values(), strict=True):
        assert one.tobytes() == other.tobytes()


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=30, unique=True))
def test_ids_of_any_text_come_back(ids: list[str]) -> None:
    encodable = [one for one in ids if one.encode("utf-8", "ignore").decode() == one]
    if encodable:
        request = {**REQUEST, "actions": [{"id": one, "price": 1, "kind": "a"} for one in encodable]}
        assert ids_of(features(request)) == encodable


@pytest.mark.parametrize("count", [1, MAX_ACTIONS])
def test_from_one_to_the_most_actions_are_taken(count: int) -> None:
    request = {**REQUEST, "actions": [{"id": str(one), "price": one, "kind": "b"} for one in range(count)]}
    assert features(request)["actions"].shape == (count, 4)


@given(st.text(min_size=1, max_size=40), st.integers(0, MAX_STEP))
def test_the_step_of_an_episode_comes_back(episode: str, step: int) -> None:
    if episode.encode("utf-8", "ignore").decode() == episode:
        made = features({**REQUEST, "episode_id": episode, "step": step})
        assert step_of(made) == Step(episode, step)
        assert {name: made[name].dtype.name for name in ("episode", "step")} == {"episode": "uint8", "step": "int32"}


def test_a_request_outside_of_episodes_has_the_tensors_that_it_always_had() -> None:
    assert list(features(REQUEST)) == ["context", "actions", "ids", "offsets"]
    assert step_of(features(REQUEST)) is None


def changed(path: str, value: object) -> dict[str, Any]:
    """The request with something else at a place such as `actions.1.id`."""
    request = deepcopy(REQUEST)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    at: Any = request
    for step in way:
        at = at[step]
    at[last] = value
    return request


def lacking(path: str) -> dict[str, Any]:
    request = deepcopy(REQUEST)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    at: Any = request
    for step in way:
        at = at[step]
    del at[last]
    return request


@given(st.text(max_size=9).filter(lambda value: value not in ("phone", "desktop")))
def test_an_unknown_value_of_a_category_is_none_of_the_known_and_is_counted(device: str) -> None:
    made = features(changed("context.device", device))
    np.testing.assert_array_equal(made["context"], np.array([1, 42, 0, 0], np.float32))
    assert unknown_features(SCHEMA, made) == {"context.device": 1}
    assert unknown_features(SCHEMA, features(REQUEST)) == {}


def test_a_feature_that_the_schema_lacks_is_ignored_and_counted() -> None:
    made = features({**changed("actions.0.size", 3), "context": {**REQUEST["context"], "colour": "red", "": 0}})
    known = features(REQUEST)
    assert all(made[name].tobytes() == tensor.tobytes() for name, tensor in known.items())
    assert unknown_features(SCHEMA, made) == {"other": 3}


def test_actions_that_are_ids_alone_are_alike_and_their_features_are_counted_as_unknown() -> None:
    made = features({**REQUEST, "actions": [{"id": "x"}, {"id": "y"}]})
    assert not made["actions"].any()
    assert ids_of(made) == ["x", "y"]
    assert unknown_features(SCHEMA, made) == {"actions.kind": 2}


def test_the_id_of_actions_may_be_a_category() -> None:
    schema = Schema.of({"context": {}, "actions": {"id": ["x", "y"]}})
    made = encode(schema, Request({}, [{"id": "y"}, {"id": "z"}, {"id": "x"}]))
    assert made["actions"].tolist() == [[0, 1], [0, 0], [1, 0]]
    assert unknown_features(schema, made) == {"actions.id": 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_request_may_be_in_other_encodings_of_unicode(encoding: str) -> None:
    payload = json.dumps(REQUEST, ensure_ascii=False).encode(encoding)
    assert read_request(payload) == read_request(json.dumps(REQUEST).encode())


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        ([], "not_an_object", "a request is"),
        ({**REQUEST, "user": 1}, "unknown_field", "user"),
        ({**REQUEST, "episode_id": "walk"}, "missing_step", "both are needed"),
        ({**REQUEST, "step": 0}, "missing_episode_id", "both are needed"),
        ({**REQUEST, "positions": 0}, "bad_positions", "from 1 to 10"),
        ({**REQUEST, "positions": 11}, "bad_positions", "from 1 to 10"),
        ({**REQUEST, "positions": True}, "bad_positions", "whole number"),
        ({**REQUEST, "positions": 2, "episode_id": "walk", "step": 0}, "slate_in_episode", "leave out"),
        ({**REQUEST, "allowed": "x"}, "bad_mask", "`allowed` must be a list"),
        ({**REQUEST, "forbidden": None}, "bad_mask", "`forbidden` must be a list"),
        ({**REQUEST, "forbidden": ["x", 7]}, "bad_mask", "each id in `forbidden` must be a string"),
        ({**REQUEST, "episode_id": "", "step": 0}, "bad_episode_id", "not empty"),
        ({**REQUEST, "episode_id": 7, "step": 0}, "bad_episode_id", "string"),
        ({**REQUEST, "episode_id": None, "step": None}, "bad_step", "whole number"),
        ({**REQUEST, "episode_id": "x" * (MAX_ID_BYTES + 1), "step": 0}, "bad_episode_id", "at most 200"),
        ({**REQUEST, "episode_id": "\ud800", "step": 0}, "bad_episode_id", "surrogate"),
        ({**REQUEST, "episode_id": "walk", "step": -1}, "bad_step", "from 0"),
        ({**REQUEST, "episode_id": "walk", "step": 1.0}, "bad_step", "whole number"),
        ({**REQUEST, "episode_id": "walk", "step": True}, "bad_step", "whole number"),
        ({**REQUEST, "episode_id": "walk", "step": "1"}, "bad_step", "whole number"),
        ({**REQUEST, "episode_id": "walk", "step": MAX_STEP + 1}, "bad_step", "2,147,483,647"),
        (changed("context", [1]), "bad_context", "object"),
        (lacking("context"), "bad_context", "object"),
        (changed("actions", {"x": 1}), "bad_actions", "list"),
        (lacking("actions"), "bad_actions", "list"),
        (changed("actions", []), "no_actions", "1 to 1,000"),
        (
            changed("actions", [{"id": str(one)} for one in range(10_000)]),
            "too_many_actions",
            "10,000 actions; 1 to 1,000",
        ),
        (changed("actions.1", "x"), "bad_action", "action 1"),
        (lacking("actions.0.id"), "bad_id", "action 0"),
        (changed("actions.1.id", ""), "bad_id", "not empty"),
        (changed("actions.1.id", 7), "bad_id", "string"),
        (changed("actions.1.id", "x" * (MAX_ID_BYTES + 1)), "bad_id", "at most 200"),
        (changed("actions.1.id", "\ud800"), "bad_id", "surrogate"),
        (changed("actions.1.id", "x"), "duplicate_id", "actions 0 and 1"),
        (lacking("context.age"), "missing_feature", "age"),
        (lacking("actions.1.kind"), "missing_feature", "action 1"),
        (changed("context.age", "old"), "wrong_type", "a number is needed"),
        (changed("context.age", True), "wrong_type", "a number is needed"),
        (changed("context.age", None), "wrong_type", "a number is needed"),
        (changed("context.age", [[1]]), "wrong_type", "a number is needed"),
        (changed("context.device", 1), "wrong_type", '"phone", "desktop"'),
        (changed("context.age", float("nan")), "not_finite", "NaN"),
        (changed("context.age", float("-inf")), "not_finite", "Infinity"),
        (changed("actions.0.price", 1e39), "not_finite", "3.4e38"),
        (changed("actions.0.price", 10**400), "not_finite", "3.4e38"),
    ],
)
def test_bad_requests_are_refused_with_a_code_and_what_would_be_right(request_: object, code: str, says: str) -> None:
    with pytest.raises(Rejected) as caught:
        features(request_)
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x89PNG", "not_json"),
        (b'{"context": {"hour": 1, "hour": 2}, "actions": [{"id": "x"}]}', "duplicate_name"),
        (b'{"context": {}', "not_json"),
        (b"\xff\xfe{}", "not_json"),
        (b'{"context": {"age": ' + b"9" * 5000 + b"}}", "not_json"),
        (b'{"context": {"age": 1e999, "device": "phone"}, "actions": [{"id": "x"}]}', "not_finite"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
    ],
)
def test_what_is_no_request_at_all_is_refused(payload: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        encode(SCHEMA, read_request(payload))
    assert caught.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_else_happens(payload: bytes) -> None:
    with pytest.raises(Rejected):
        encode(SCHEMA, read_request(payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "age", "kind", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.fixed_dictionaries({"context": json_values, "actions": json_values | st.lists(json_values, max_size=3)}))
def test_any_json_is_taken_or_refused_and_nothing_else_happens(request_: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        features(request_)
