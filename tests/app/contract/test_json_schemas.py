import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.contract import json_schemas
from app.events.base import EventData
from app.events.decoding import EVENT_TYPES
from app.events.topics import archived_topics
from tests.support.event_strategies import data_strategy, read_example

JSON_TYPES = [kind for kind in EVENT_TYPES if issubclass(kind, EventData)]


@pytest.mark.parametrize("kind", JSON_TYPES)
@given(data=st.data())
def test_whatever_a_type_says_is_valid_by_its_schema(kind: type[EventData], data: st.DataObject) -> None:
    Draft202012Validator(json_schemas.event_schema(kind)).validate(
        json.loads(data.draw(data_strategy(kind)).model_dump_json())
    )


@pytest.mark.parametrize("kind", JSON_TYPES)
def test_a_schema_refuses_what_reading_refuses(kind: type[EventData]) -> None:
    said = json.loads(read_example(kind.type)[1])
    schema = Draft202012Validator(json_schemas.event_schema(kind))
    assert schema.is_valid(said)
    assert not schema.is_valid(said | {"colour": "red"})
    for name in json_schemas.event_schema(kind)["required"]:
        assert not schema.is_valid({key: value for key, value in said.items() if key != name})


def test_a_schema_is_written_for_each_type_with_json_data(tmp_path: Path) -> None:
    written = json_schemas.write_schemas(tmp_path / "schemas")
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == sorted(path.name for path in written)
    said = {path.stem: json.loads(path.read_text()) for path in written}
    assert said.keys() == {kind.type for kind in JSON_TYPES}
    for kind, schema in said.items():
        Draft202012Validator.check_schema(schema)
        assert (schema["$schema"], schema["$id"]) == (
            "https://json-schema.org/draft/2020-12/schema",
            f"urn:hindsight:{kind}",
        )
        assert schema["title"]
        assert schema["description"]
        assert [name for name, field in schema["properties"].items() if not field.get("description")] == []


def test_every_topic_of_the_log_has_its_types_and_every_type_a_topic() -> None:
    assert {channel.topic for channel in json_schemas.CHANNELS} == set(archived_topics([json_schemas.TASK_PLACEHOLDER]))
    assert {kind for channel in json_schemas.CHANNELS for kind in channel.event_types} == set(EVENT_TYPES)
