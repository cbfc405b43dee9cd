"""The data of events: an example of each version of each type, and Hypothesis strategies."""

import json
import math
from base64 import b64decode
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.events.base import EventData, EventType, ModelRef
from app.events.cloudevents import Headers, split_version
from app.events.comparison import ComparedPart, ComparedSlices, Comparison, ModelCompared
from app.events.decoding import EVENT_TYPES
from app.events.ids import prediction_id
from app.events.model_events import ModelCardReplaced, ModelRegistered
from app.events.prediction_reference import PredictionReference
from app.events.types import FeedbackGiven

Model = TypeVar("Model", bound=BaseModel)

EXAMPLES = Path(__file__).parent.parent / "app" / "events" / "golden"
"""An event of each version of each type, as it was written to Kafka: headers and value."""


def read_example(kind: str) -> tuple[Headers, bytes]:
    """Return the headers and the value of a type's example."""
    example = json.loads((EXAMPLES / f"{kind}.json").read_text())
    value = json.dumps(example["value"]).encode() if "value" in example else b64decode(example["value_base64"])
    return tuple((name, text.encode()) for name, text in example["headers"].items()), value


def current_type(name: str) -> EventType:
    """Return the class that reads every version of a type."""
    [event_type] = [known for known in EVENT_TYPES if split_version(known.type)[0] == split_version(name)[0]]
    return event_type


def example_types(family: EventType) -> list[str]:
    """Return the names of the family's types that have an example, in every version."""
    return [path.stem for path in sorted(EXAMPLES.iterdir()) if issubclass(current_type(path.stem), family)]


finite_floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite_floats | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@cache
def data_strategy(kind: type[EventData]) -> st.SearchStrategy[EventData]:
    """Return a strategy for the data of a type."""
    if kind in (ModelRegistered, ModelCardReplaced):
        return _model_strategy(
            kind, model=st.builds(ModelRef, name=st.just("ocr"), version=st.sampled_from(("1", "20")))
        )
    if kind is ModelCompared:
        return _model_strategy(kind, comparisons=_at_most(1, _comparisons()))
    return _feedback_strategy(kind) if issubclass(kind, PredictionReference) else _model_strategy(kind)


def _comparisons() -> st.SearchStrategy[Comparison]:
    """Return comparisons of few parts, because those of many take long to draw."""
    parts = _model_strategy(ComparedPart, doubts=_at_most(1, st.text()))
    slices = _model_strategy(ComparedSlices, parts=_at_most(1, parts))
    return _model_strategy(Comparison, total=parts, over_time=_at_most(1, parts), slices=_at_most(1, slices))


def _at_most(count: int, values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=count).map(tuple)


def _model_strategy(kind: type[Model], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Model]:
    fields = {
        name: _value_strategy(field.annotation, [field])
        for name, field in kind.model_fields.items()
        if name not in known  # these have constraints beyond their type
    }
    return st.builds(kind, **known, **fields)


def _feedback_strategy(kind: type[PredictionReference]) -> st.SearchStrategy[PredictionReference]:
    def feedback_of(address: dict[str, Any]) -> st.SearchStrategy[PredictionReference]:
        address_fields = {name: st.just(address.get(name)) for name in names}
        # Feedback must say something, and a name needs its reward.
        content = {"reward": st.floats(-1, 1)} if kind is FeedbackGiven else {}
        return _model_strategy(kind, **address_fields, **content)

    names = ("prediction_id", "task", "request_id", "request_source")
    ids = st.text(min_size=1, max_size=20)
    by_prediction = ids.map(lambda id: {"prediction_id": prediction_id("ocr", "app", id)})
    by_request = st.fixed_dictionaries({"task": st.just("ocr"), "request_id": ids, "request_source": st.none() | ids})
    return (by_prediction | by_request).flatmap(feedback_of)


def _value_strategy(annotation: Any, constraints: list[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for values of an annotation, within pydantic's constraints."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value_strategy(arguments[0], [*arguments[1:], *constraints])
    if origin in (Union, UnionType, tuple, dict):
        return _composed_strategy(
            origin, [_value_strategy(argument, []) for argument in arguments if argument is not Ellipsis], arguments
        )
    if annotation is Any:
        return json_values
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model_strategy(annotation)
    patterns = [
        getattr(bound, "pattern", None) for field in _constraint_fields(constraints) for bound in field.metadata
    ]
    if pattern := next(filter(None, patterns), None):
        return st.from_regex(pattern.removesuffix("$"), fullmatch=True)
    bounds = [bound for field in _constraint_fields(constraints) for bound in field.metadata]
    bounds = [bound for bound in bounds if type(bound).__module__ == "annotated_types"]
    bounded: Any = Annotated[annotation, *bounds] if bounds else annotation
    values = st.from_type(bounded)
    return values.filter(math.isfinite) if annotation is float else values


def _composed_strategy(
    origin: Any, elements: list[st.SearchStrategy[Any]], arguments: tuple[Any, ...]
) -> st.SearchStrategy[Any]:
    if origin is dict:
        return st.dictionaries(*elements, max_size=3)
    if origin is not tuple:
        return st.one_of(elements)
    return st.lists(elements[0], max_size=3).map(tuple) if Ellipsis in arguments else st.tuples(*elements)


def _constraint_fields(constraints: list[Any]) -> list[FieldInfo]:
    return [field for field in constraints if isinstance(field, FieldInfo)]
