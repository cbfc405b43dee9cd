"""Logs of decisions: each row is a request, what was done, how probable that was, and what it earned."""

import json
from typing import Any

import pytest

from app.importers.bandit import read_examples
from app.importers.example import Example, RejectedRow
from app.importers.tables import read_csv
from models.decision.request import read_request

URI = "file:///clicks.csv"


def read(text: str) -> list[Any]:
    return list(read_examples(lambda: read_csv(iter(text.encode().splitlines(True)), "clicks.csv"), URI))


def test_a_row_is_a_request_with_what_was_served_and_earned() -> None:
    text = "context,actions,action,propensity,reward,entity,time\n"
    text += '"{""hour"": 9}","[""a"", {""id"": 2, ""price"": 3}]",2,0.25,0.5,ada,2026-01-31T12:00:00Z\n'
    [found] = read(text)
    assert isinstance(found, Example)
    request = {"context": {"hour": 9}, "actions": [{"id": "a"}, {"id": "2", "price": 3}]}
    assert json.loads(found.payload) == request
    assert (found.output, found.propensity, found.reward) == ({"action": "2"}, 0.25, 0.5)
    assert (found.where, found.entity, found.time) == ("clicks.csv:2", "ada", "2026-01-31T12:00:00.000Z")


def test_other_columns_are_the_context_and_the_actions_those_that_the_log_names() -> None:
    first, second = read("hour,kind,action,propensity,reward\n9,new,b,0.5,1\nnan,old,a,0.5,0\n")
    assert json.loads(first.payload) == {"context": {"hour": 9.0, "kind": "new"}, "actions": [{"id": "a"}, {"id": "b"}]}
    assert json.loads(second.payload)["context"] == {"hour": "nan", "kind": "old"}


def test_steps_of_an_episode_keep_together() -> None:
    first, second = read("room,action,propensity,reward,episode_id,step\nx,a,0.5,0,walk,0\ny,b,0.5,1,walk,1\n")
    said = [json.loads(one.payload) for one in (first, second)]
    assert [(one["episode_id"], one["step"]) for one in said] == [("walk", 0), ("walk", 1)]
    assert [one["context"] for one in said] == [{"room": "x"}, {"room": "y"}]
    assert [one.entity for one in (first, second)] == ["walk", "walk"]
    for one in (first, second):
        *_, step = read_request(one.payload)
        assert step is not None


def test_an_entity_that_is_0_is_one() -> None:
    row = {"x": 1, "action": "a", "propensity": 1, "reward": 0, "entity": 0}
    [found] = read_examples(lambda: [("clicks.jsonl:1", row)], URI)
    assert isinstance(found, Example)
    assert found.entity == "0"


@pytest.mark.parametrize(
    ("episode", "step", "code"),
    [("walk", "", "incomplete"), ("", "1", "incomplete"), ("walk", "-1", "bad_value"), ("walk", "0.5", "bad_value")],
)
def test_an_episode_without_a_step_that_counts_is_refused(episode: str, step: str, code: str) -> None:
    [wrong] = read(f"action,propensity,reward,episode_id,step\na,1,0,{episode},{step}\n")
    assert (wrong.where, wrong.code) == ("clicks.csv:2", code)


def test_equal_rows_are_decisions_of_their_own_and_stay_the_same_as_the_log_grows() -> None:
    text = "x,action,propensity,reward\n1,a,1,0\n1,a,1,0\n"
    before = [one.identity for one in read(text)]
    assert len(set(before)) == 2
    assert [one.identity for one in read(text + "1,b,1,0\n")][:2] == before


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("1,,1,0", "incomplete"),
        ("1,a,,0", "incomplete"),
        ("1,a,0,0", "bad_value"),
        ("1,a,1.5,0", "bad_value"),
        ("1,a,nan,0", "bad_value"),
        ("1,a,1,7", "bad_value"),
        ("1,a,1,x", "bad_value"),
        ("1,a,1", "bad_row"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_and_the_others_are_there(row: str, code: str) -> None:
    first, wrong, last = read(f"x,action,propensity,reward\n1,a,1,0\n{row}\n2,b,1,1\n")
    assert isinstance(wrong, RejectedRow)
    assert (wrong.where, wrong.code) == ("clicks.csv:3", code)
    assert [one.reward for one in (first, last)] == [0, 1]


@pytest.mark.parametrize(
    ("actions", "code"),
    [('["b"]', "unknown_action"), ("{}", "bad_value"), ('[{"x": 1}]', "bad_value"), ("[", "not_json")],
)
def test_an_action_must_be_one_of_the_rows(actions: str, code: str) -> None:
    quoted = actions.replace('"', '""')
    [wrong] = read(f'actions,action,propensity,reward\n"{quoted}",a,1,0\n')
    assert (wrong.where, wrong.code) == ("clicks.csv:2", code)
