import json
from functools import cache
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

JSON_TYPES = [event_type for event_type in EVENT_TYPES if issubclass(event_type, EventData)]


@cache
def validator(event_type: type[EventData]) -> Draft202012Validator:
    return Draft202012Validator(json_schemas.event_schema(event_type))


@pytest.mark.parametrize("event_type", JSON_TYPES)
@given(data=st.data())
def test_data_of_a_type_is_valid_by_its_schema(event_type: type[EventData], data: st.DataObject) -> None:
    validator(event_type).validate(json.loads(data.draw(data_strategy(event_type)).model_dump_json()))


@pytest.mark.parametrize("event_type", JSON_TYPES)
def test_a_schema_rejects_data_that_decoding_rejects(event_type: type[EventData]) -> None:
    example = json.loads(read_example(event_type.type)[1])
    schema = validator(event_type)
    assert schema.is_valid(example)
    assert not schema.is_valid(example | {"colour": "red"})
    for name in json_schemas.event_schema(event_type)["required"]:
        assert not schema.is_valid({key: value for key, value in example.items() if key != name})


def test_a_schema_is_written_for_each_type_with_json_data(tmp_path: Path) -> None:
    written = json_schemas.write_schemas(tmp_path / "schemas")
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == sorted(path.name for path in written)
    schemas = {path.stem: json.loads(path.read_text()) for path in written}
    assert schemas.keys() == {event_type.type for event_type in JSON_TYPES}
    for event_type, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert (schema["$schema"], schema["$id"]) == (
            "https://json-schema.org/draft/2020-12/schema",
            f"urn:hindsight:{event_type}",
        )
        assert schema["title"]
        assert schema["description"]
        assert [name for name, field in schema["properties"].items() if not field.get("description")] == []


def test_every_topic_of_the_log_has_its_types_and_every_type_a_topic() -> None:
    assert {channel.topic for channel in json_schemas.CHANNELS} == set(archived_topics([json_schemas.TASK_PLACEHOLDER]))
    assert {event_type for channel in json_schemas.CHANNELS for event_type in channel.event_types} == set(EVENT_TYPES)
