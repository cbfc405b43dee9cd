"""Schemas: what they say, and which are refused."""

import json
from pathlib import Path

import pytest

from models.decision import Decision
from models.decision.schema import SHIPPED, Schema


def test_a_schema_comes_back_as_it_was_declared() -> None:
    declared = json.loads(SHIPPED.read_bytes())
    assert Schema.of(declared).described() == declared


def test_each_value_of_a_category_takes_a_column_and_a_number_one() -> None:
    schema = Schema.of({"context": {"a": ["x", "y"], "b": "numeric"}, "actions": {"c": "numeric"}})
    assert (schema.context.columns, schema.actions.columns) == (3, 1)
    assert schema.context.numeric.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "declared",
    [
        [],
        {"context": {}},
        {"context": {}, "actions": {}},
        {"context": {}, "actions": {"a": "numeric"}, "more": {}},
        {"context": [], "actions": {"a": "numeric"}},
        {"context": {}, "actions": {"id": "numeric"}},
        {"context": {}, "actions": {"a": "number"}},
        {"context": {}, "actions": {"a": []}},
        {"context": {}, "actions": {"a": ["x", 1]}},
        {"context": {}, "actions": {"a": ["x", "x"]}},
    ],
)
def test_what_is_no_schema_is_refused(declared: object) -> None:
    with pytest.raises(ValueError, match=r"schema|twice|must be"):
        Schema.of(declared)


def test_another_file_may_hold_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"context": {}, "actions": {"a": "numeric"}}))
    task = Decision(schema=str(path))
    features = task.preprocess(b'{"context": {}, "actions": [{"id": "1", "a": 2}]}')
    assert features["context"].tolist() == [1.0]
    assert not task.samples()
    assert not list(task.held_out())
    assert not list(task.demonstration(0))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_holds_none_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"mine\.json can't be used"):
        Decision(schema=str(path))
