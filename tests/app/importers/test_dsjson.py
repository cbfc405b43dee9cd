"""Vowpal Wabbit's log of decisions: each row is a request with its action, propensity and reward."""

import json
from typing import Any

import pytest

from app.importers.dsjson import read_examples
from app.importers.example import Example, RejectedRow

ROW: dict[str, Any] = {
    "_label_cost": -1.0,
    "_label_probability": 0.8,
    "_label_Action": 2,
    "_labelIndex": 1,
    "Timestamp": "2026-01-01T00:00:00Z",
    "EventId": "x",
    "a": [2, 1],
    "c": {"shared": {"device": "phone"}, "_multi": [{"_tag": "t", "f": [{"cat": "a"}]}, {"cat": "b"}]},
    "p": [0.8, 0.2],
}


def read(**changes: Any) -> Example | RejectedRow:
    [row] = read_examples([("x:1", {**ROW, **changes})])
    return row


def test_a_row_is_a_request_with_the_action_that_was_taken() -> None:
    example = read()
    assert isinstance(example, Example)
    actions = [{"cat": "a", "id": "1"}, {"cat": "b", "id": "2"}]
    assert json.loads(example.payload) == {"context": {"device": "phone"}, "actions": actions}
    assert (example.output, example.propensity, example.reward) == ({"action": "2"}, 0.8, 1.0)
    assert example.time == "2026-01-01T00:00:00.000Z"


def test_actions_have_their_own_ids_if_each_has_one() -> None:
    example = read(c={"_multi": [{"id": 7}, {"f": {"id": "b"}}]})
    assert isinstance(example, Example)
    assert example.output == {"action": "b"}


@pytest.mark.parametrize(
    "changes",
    [
        {"_labelIndex": 0},
        {"_label_Action": 3, "_labelIndex": 2},
        {"_label_Action": True, "_labelIndex": None},
        {"_label_probability": 0},
        {"_label_probability": 0.5},
        {"_label_cost": 3},
        {"EventId": ""},
        {"c": {}},
        {"c": {"a": {"x": 1}, "b": {"x": 2}, "_multi": [{}, {}]}},
        {"Timestamp": "yesterday"},
    ],
)
def test_a_row_that_contradicts_itself_is_rejected(changes: dict[str, Any]) -> None:
    assert isinstance(read(**changes), RejectedRow)
