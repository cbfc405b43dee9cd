"""The data of events: strict JSON, of one version, that still reads what the versions before it wrote.

A type's version is the end of its name: `hindsight.prediction.made.v1`. Who makes version 2 of a type changes the class
and its `type`, and adds a method `upcast_v1_v2(said)` that turns the JSON object of version 1 into that of version 2.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.events.cloudevents import JSON, MAX_ATTRIBUTE_LENGTH, Event, Record, check_version, split_version
from models.base import Rejected

MAX_REASON = 2000
_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""A name that may become a part of a path, of a URL or of a metric."""

# Whoever reaches Kafka writes events: what becomes a path, a key of a table or a number is bounded here.
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
    """A reason may quote what it is about: here it fits into a record, whatever that was."""
    return reason[:MAX_REASON].encode(errors="replace").decode()


Reason = Annotated[str, AfterValidator(_bounded_reason)]


class FrozenModel(BaseModel):
    """A part of an event's data: frozen, and with nothing in it that is not declared."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), use_attribute_docstrings=True
    )


class EventData(FrozenModel):
    """JSON data of an event type."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = JSON
    headers: ClassVar[Mapping[str, str]] = {}
    """The headers it has beside CloudEvents' attributes, and what each says."""

    def to_record(self, topic: str, key: bytes | None, **attributes: Any) -> Record:
        """This data as a record; `attributes` are those of `Event`."""
        event = Event(type=self.type, data=self.model_dump_json().encode(), content_type=JSON, **attributes)
        return Record(topic, key, event.data, event.to_headers())

    @classmethod
    def decode(cls, data: bytes, version: int) -> Self:
        """The data that a version of this type wrote, as this version says it.

        Raises `Rejected`: `newer_version` for one from the future, `bad_data` for what that version can't have written.
        """
        name, current = split_version(cls.type)
        check_version(name, version, current)
        upcasters = [getattr(cls, f"upcast_v{old}_v{old + 1}") for old in range(version, current)]
        try:
            if upcasters:
                said = json.loads(data)
                for upcast in upcasters:
                    said = upcast(said)
                data = json.dumps(said).encode()
            return cls.model_validate_json(data, strict=True)
        except ValidationError as error:
            raise Rejected("bad_data", f"{name}.v{version} is wrong: {_error_text(error)}") from None
        except Exception as error:  # whatever an upcaster stumbles over isn't what the old version wrote
            raise Rejected("bad_data", f"{name}.v{version} can't be read: {type(error).__name__}: {error}") from error


class OpaqueEvent:
    """An event type whose data is not JSON of its own: nothing of it is read here."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = None
    headers: ClassVar[Mapping[str, str]] = {}


EventType = type[EventData] | type[OpaqueEvent]


class ModelRef(FrozenModel):
    """A model's logical name and version."""

    name: Annotated[str, Field(pattern=_NAME_PATTERN)]
    """The task's model, such as `ocr`."""
    version: Annotated[str, Field(pattern=_NAME_PATTERN)]
    """Its version in the registry, such as `3`; a candidate's is its run's id."""


def _error_text(error: ValidationError) -> str:
    problems = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return "; ".join(f"{name}: {message}" if name else message for name, message in problems)


def canonical_json(value: Mapping[str, Any]) -> str:
    """The value as JSON text: the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
