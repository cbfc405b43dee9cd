"""How far into the log a version has learned."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.events.base import EventData, ModelRef
from app.events.model_events import DatasetBuilt, ModelRegistered
from app.registry.learned import learned_until
from app.registry.registry import Registry, TaskModels
from tests.app.registry.test_runs import triggered
from tests.support.record_strategies import consumed_record
from tests.support.tasks import Letters

NOON, LATER = "2026-01-31T12:00:00+00:00", "2026-01-31T13:00:00+00:00"


def models_of(*events: EventData) -> TaskModels:
    registry = Registry([Letters()])
    for number, data in enumerate(events):
        registry.apply(consumed_record(data.to_record("lifecycle", b"", id=str(number), source="test", time=NOON)))
    return registry.tasks["letters"]


def dataset(arguments: Any, content_hash: str = "h") -> DatasetBuilt:
    manifest = {"arguments": arguments}
    return DatasetBuilt(task="letters", content_hash=content_hash, location="d", rows=1, manifest=manifest, run_id="r")


def version(number: str, **fields: Any) -> ModelRegistered:
    model = ModelRef(name="letters", version=number)
    return ModelRegistered(task="letters", model=model, artifact="blob://x", card={}, preprocess_version="1", **fields)


TRAINED = version("3", run_id="r", dataset="h", parent="2")


def test_a_shipped_version_has_learned_nothing_of_the_log() -> None:
    assert learned_until(models_of(), "2") is None


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ({"as_of": LATER, "to": None}, LATER),
        ({"as_of": LATER, "to": NOON}, NOON),
        ({"as_of": "soon"}, None),
        ({"as_of": 7}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_version_has_learned_until_the_end_of_its_dataset(arguments: Any, end: str | None) -> None:
    models = models_of(triggered(), dataset(arguments), TRAINED)
    assert learned_until(models, "3") == (None if end is None else datetime.fromisoformat(end))


def test_a_version_that_was_trained_elsewhere_has_learned_what_its_parent_has() -> None:
    models = models_of(triggered(), dataset({"as_of": NOON}), TRAINED, version("4", parent="3"), version("5"))
    assert learned_until(models, "4") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert learned_until(models, "5") is None


def test_versions_that_are_each_others_parents_have_learned_nothing() -> None:
    assert learned_until(models_of(version("3", parent="4"), version("4", parent="3")), "3") is None


def test_the_dataset_of_a_run_is_that_of_its_own_versions_only() -> None:
    models = models_of(triggered(), dataset({"as_of": NOON}, "other"), version("3", run_id="r", dataset="h"))
    assert learned_until(models, "3") is None
