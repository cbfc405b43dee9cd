"""Logs of decisions: each row is a request with its action, propensity and reward."""

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


def test_a_row_is_a_request_with_its_action_propensity_and_reward() -> None:
    text = "context,actions,action,propensity,reward,entity,time\n"
    text += '"{""hour"": 9}","[""a"", {""id"": 2, ""price"": 3}]",2,0.25,0.5,ada,2026-01-31T12:00:00Z\n'
    [example] = read(text)
    assert isinstance(example, Example)
    request = {"context": {"hour": 9}, "actions": [{"id": "a"}, {"id": "2", "price": 3}]}
    assert json.loads(example.payload) == request
    assert (example.output, example.propensity, example.reward) == ({"action": "2"}, 0.25, 0.5)
    assert (example.where, example.entity, example.time) == ("clicks.csv:2", "ada", "2026-01-31T12:00:00.000Z")


def test_other_columns_are_the_context_and_the_actions_are_those_of_the_log() -> None:
    first, second = read("hour,kind,action,propensity,reward\n9,new,b,0.5,1\nnan,old,a,0.5,0\n")
    assert json.loads(first.payload) == {"context": {"hour": 9.0, "kind": "new"}, "actions": [{"id": "a"}, {"id": "b"}]}
    assert json.loads(second.payload)["context"] == {"hour": "nan", "kind": "old"}


def test_the_steps_of_an_episode_have_one_entity() -> None:
    examples = read("room,action,propensity,reward,episode_id,step\nx,a,0.5,0,walk,0\ny,b,0.5,1,walk,1\n")
    requests = [json.loads(example.payload) for example in examples]
    assert [(request["episode_id"], request["step"]) for request in requests] == [("walk", 0), ("walk", 1)]
    assert [request["context"] for request in requests] == [{"room": "x"}, {"room": "y"}]
    assert [example.entity for example in examples] == ["walk", "walk"]
    for example in examples:
        step = read_request(example.payload).step
        assert step is not None


def test_the_entity_0_is_kept() -> None:
    row = {"x": 1, "action": "a", "propensity": 1, "reward": 0, "entity": 0}
    [example] = read_examples(lambda: [("clicks.jsonl:1", row)], URI)
    assert isinstance(example, Example)
    assert example.entity == "0"


@pytest.mark.parametrize(
    ("episode", "step", "code"),
    [("walk", "", "incomplete"), ("", "1", "incomplete"), ("walk", "-1", "bad_value"), ("walk", "0.5", "bad_value")],
)
def test_an_episode_without_a_valid_step_is_rejected(episode: str, step: str, code: str) -> None:
    [rejected] = read(f"action,propensity,reward,episode_id,step\na,1,0,{episode},{step}\n")
    assert (rejected.where, rejected.code) == ("clicks.csv:2", code)


def test_equal_rows_have_different_identities_which_stay_the_same_as_the_log_grows() -> None:
    text = "x,action,propensity,reward\n1,a,1,0\n1,a,1,0\n"
    identities = [example.identity for example in read(text)]
    assert len(set(identities)) == 2
    assert [example.identity for example in read(text + "1,b,1,0\n")][:2] == identities


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
def test_a_broken_row_is_rejected_and_the_others_are_read(row: str, code: str) -> None:
    first, rejected, last = read(f"x,action,propensity,reward\n1,a,1,0\n{row}\n2,b,1,1\n")
    assert isinstance(rejected, RejectedRow)
    assert (rejected.where, rejected.code) == ("clicks.csv:3", code)
    assert [example.reward for example in (first, last)] == [0, 1]


@pytest.mark.parametrize(
    ("actions", "code"),
    [('["b"]', "unknown_action"), ("{}", "bad_value"), ('[{"x": 1}]', "bad_value"), ("[", "not_json")],
)
def test_an_action_that_is_not_one_of_the_rows_actions_is_rejected(actions: str, code: str) -> None:
    quoted = actions.replace('"', '""')
    [rejected] = read(f'actions,action,propensity,reward\n"{quoted}",a,1,0\n')
    assert (rejected.where, rejected.code) == ("clicks.csv:2", code)
