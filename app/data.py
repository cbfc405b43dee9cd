"""The data of events: strict JSON, of one version, that still reads what the versions before it wrote.

A type's version is the end of its name: `hindsight.prediction.made.v1`. Who makes version 2 of a type changes the class
and its `type`, and adds a method `upcast_v1_v2(said)` that turns the JSON object of version 1 into that of version 2.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.cloudevents import JSON, Event, Record, check_version, versioned
from models.base import Rejected

TaskName = Annotated[str, Field(description="The task, such as `ocr`.")]
RunId = Annotated[str, Field(description="The retraining run.")]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(gt=0, le=1)]


class Part(BaseModel):
    """A part of an event's data: frozen, and with nothing in it that is not declared."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), use_attribute_docstrings=True
    )


class Data(Part):
    """JSON data of an event type."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = JSON
    headers: ClassVar[Mapping[str, str]] = {}
    """The headers it has beside CloudEvents' attributes, and what each says."""

    def record(self, topic: str, key: bytes | None, **attributes: Any) -> Record:
        """This data as a record; `attributes` are those of `Event`."""
        event = Event(type=self.type, data=self.model_dump_json().encode(), content_type=JSON, **attributes)
        return Record(topic, key, event.data, event.headers())

    @classmethod
    def read(cls, data: bytes, version: int) -> Self:
        """The data that a version of this type wrote, as this version says it.

        Raises `Rejected`: `newer_version` for one from the future, `bad_data` for what that version can't have written.
        """
        name, current = versioned(cls.type)
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
            raise Rejected("bad_data", f"{name}.v{version} is wrong: {_reasons(error)}") from None
        except Exception as error:  # whatever an upcaster stumbles over isn't what the old version wrote
            raise Rejected("bad_data", f"{name}.v{version} can't be read: {type(error).__name__}: {error}") from error


class Opaque:
    """An event type whose data is not JSON of its own: nothing of it is read here."""

    type: ClassVar[str]
    content_type: ClassVar[str | None] = None
    headers: ClassVar[Mapping[str, str]] = {}


Kind = type[Data] | type[Opaque]


class ModelRef(Part):
    """A model's logical name and version."""

    name: str
    """The task's model, such as `ocr`."""
    version: str
    """Its version in the registry, such as `3`."""


def _reasons(error: ValidationError) -> str:
    problems = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors())
    return "; ".join(f"{name}: {message}" if name else message for name, message in problems)
