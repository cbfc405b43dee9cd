"""The base of JSON events: strict, versioned data that can read every older version.

A type's version is the end of its name: `hindsight.prediction.made.v1`. To add version 2 of a type, change the class
and its `type`, and add a method `upcast_v1_v2(payload)` that turns the JSON object of version 1 into that of version 2.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.events.cloudevents import JSON, MAX_ATTRIBUTE_LENGTH, Event, Record, check_version, split_version
from models.base import Rejected

MAX_REASON = 2000
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""A name that is safe as a part of a path, of a URL or of a metric."""

# Anyone with access to Kafka can write events: paths, table keys and numbers are therefore bounded here.
TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$", description="The task, such as `ocr`.")]
RunId = Annotated[str, Field(pattern=_NAME_PATTERN, description="The retraining run.")]
VersionNumber = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Actor = Annotated[str, Field(min_length=1, max_length=200)]
Attribute = Annotated[str, Field(max_length=MAX_ATTRIBUTE_LENGTH)]
Location = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(gt=0, le=1)]


def _bounded_reason(reason: str) -> str:
    """Cut a reason to the length that fits into a record, because it may quote a payload."""
    return reason[:MAX_REASON].encode(errors="replace").decode()


Reason = Annotated[str, AfterValidator(_bounded_reason)]


class FrozenModel(BaseModel):
    """A part of an event's data: immutable, without undeclared fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), use_attribute_docstrings=True
    )


class EventData(FrozenModel):
    """The JSON data of an event type."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = JSON
    headers: ClassVar[Mapping[str, str]] = {}
    """The headers that the type adds to CloudEvents' attributes, with their descriptions."""

    def to_record(self, topic: str, key: bytes | None, **attributes: Any) -> Record:
        """Return this data as a record; `attributes` are those of `Event`."""
        event = Event(type=self.type, data=self.model_dump_json().encode(), content_type=JSON, **attributes)
        return Record(topic, key, event.data, event.to_headers())

    @classmethod
    def decode(cls, data: bytes, version: int) -> Self:
        """Return the data that any version of this type wrote, as the current version.

        Raises `Rejected`: `newer_version` for a version above the current one, `bad_data` for data that is not valid in
        its version.
        """
        name, current = split_version(cls.type)
        check_version(name, version, current)
        upcasters = [getattr(cls, f"upcast_v{old}_v{old + 1}") for old in range(version, current)]
        try:
            if upcasters:
                payload = json.loads(data)
                for upcast in upcasters:
                    payload = upcast(payload)
                data = json.dumps(payload).encode()
            return cls.model_validate_json(data, strict=True)
        except ValidationError as error:
            raise Rejected("bad_data", f"{name}.v{version} is wrong: {describe_problems(error)}") from None
        except Exception as error:  # data on which an upcaster fails is not valid in the old version
            raise Rejected("bad_data", f"{name}.v{version} can't be read: {type(error).__name__}: {error}") from error


class OpaqueEvent:
    """An event type without JSON data of its own: the platform does not parse its value here."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = None
    headers: ClassVar[Mapping[str, str]] = {}


EventType = type[EventData] | type[OpaqueEvent]


class ModelRef(FrozenModel):
    """A model's name and version."""

    name: Annotated[str, Field(pattern=_NAME_PATTERN)]
    """The name of the task's model, such as `ocr`."""
    version: Annotated[str, Field(pattern=_NAME_PATTERN)]
    """The version in the registry, such as `3`; for a candidate, the id of its run."""


def describe_problems(error: ValidationError) -> str:
    """Return what is wrong, with the name of each field, without pydantic's own words."""
    problems = (
        (".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")) for problem in error.errors()
    )
    return "; ".join(f"{name}: {message}" if name else message for name, message in problems)


def canonical_json(value: Mapping[str, Any]) -> str:
    """Return the value as JSON text that is the same for equal values."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # `json.dumps` would make one for each call
