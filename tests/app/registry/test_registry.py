import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SetupError, Unavailable
from app.events.base import EventData, ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.model_events import ModelCardReplaced, ModelRegistered, RouteChanged
from app.registry.registry import Registry, TaskModels
from app.registry.responses import describe_models
from app.registry.routes import Route
from models.base import Rejected
from tests.support.invalid_events import INVALID_EVENTS, invalid_records
from tests.support.record_strategies import consumed_record
from tests.support.tasks import Letters


def make_record(data: EventData, unique: str) -> ConsumedRecord:
    return consumed_record(
        data.to_record("lifecycle", b"letters", id=unique, source="test", time="2026-01-01T00:00:00Z")
    )


def make_route_change(
    unique: str, follows: str | None, champion: str, replaced: str | None = None, action: str = "promote"
) -> ConsumedRecord:
    return make_record(
        RouteChanged.model_validate(
            {
                "task": "letters",
                "action": action,
                "follows": follows,
                "champion": champion,
                "replaced": replaced,
                "reason": "test",
                "actor": "us",
            }
        ),
        unique,
    )


def make_registration(unique: str, version: str, artifact: str) -> ConsumedRecord:
    model = ModelRef(name="letters", version=version)
    return make_record(
        ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="1"), unique
    )


def read_registry(records: Sequence[ConsumedRecord]) -> tuple[Registry, TaskModels]:
    registry = Registry([Letters()])
    for record in records:
        registry.apply(record)
    return registry, registry.tasks["letters"]


def test_without_a_route_change_the_newest_shipped_version_serves() -> None:
    _, models = read_registry([make_registration("a", "3", "blob://x")])
    assert list(models.versions) == ["1", "2", "3"]
    assert (models.route, models.last_change_id, models.previous_champion) == (Route("2"), None, None)


def test_the_route_is_the_last_change_that_follows_its_predecessor() -> None:
    registry, models = read_registry([make_route_change("a", None, "1", "2"), make_route_change("b", "a", "2", "1")])
    assert (models.route, models.last_change_id) == (Route("2"), "b")
    assert registry.accepted_ids == {"a", "b"}


def test_the_first_of_two_changes_that_follow_the_same_one_is_in_force() -> None:
    registry, models = read_registry(
        [make_route_change("a", None, "1", "2"), make_route_change("b", None, "2"), make_route_change("c", "b", "2")]
    )
    assert (models.route, registry.accepted_ids) == (Route("1"), {"a"})


def test_a_change_that_is_delivered_twice_counts_once() -> None:
    _, models = read_registry([make_route_change("a", None, "1", "2")] * 2)
    assert len(models.changes) == 1


def test_the_first_registration_of_a_number_is_in_force() -> None:
    registry, models = read_registry([make_registration("a", "3", "blob://x"), make_registration("b", "3", "blob://y")])
    assert models.versions["3"].artifact == "blob://x"
    assert registry.accepted_ids == {"a"}


def test_each_further_rollback_restores_an_earlier_champion() -> None:
    records = [make_registration("3", "3", "blob://x"), make_registration("4", "4", "blob://y")]
    records += [make_route_change("a", None, "3", "2"), make_route_change("b", "a", "4", "3")]
    assert read_registry(records)[1].previous_champion == "3"
    records.append(make_route_change("c", "b", "3", "4", "rollback"))
    assert read_registry(records)[1].previous_champion == "2"
    records.append(make_route_change("d", "c", "2", "3", "rollback"))
    assert read_registry(records)[1].previous_champion is None


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("12")), max_size=12))
def test_reading_a_log_again_changes_nothing(log: list[tuple[int, str]]) -> None:
    """For any changes, at-least-once delivery gives the same registry."""
    records = [
        make_route_change(str(n), None if on == 5 else str(on), champion) for n, (on, champion) in enumerate(log)
    ]
    once, twice = read_registry(records)[1], read_registry([record for record in records for _ in range(2)])[1]
    assert once.changes == twice.changes


def test_events_of_other_tasks_and_unreadable_events_are_ignored() -> None:
    other = RouteChanged(task="other", action="promote", champion="9", reason="test", actor="us")
    bad = Record("lifecycle", b"letters", b"{}", (("ce_type", RouteChanged.type.encode()),))
    registry, models = read_registry([make_record(other, "a"), consumed_record(bad)])
    assert (models.changes, registry.accepted_ids) == ([], set())


def test_an_unknown_version_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SetupError, match="no version '9'") as refused:
        read_registry([])[1].version("9")
    assert refused.value.remedy == "Name one of 1, 2."


@pytest.mark.parametrize("name", INVALID_EVENTS)
def test_events_with_unsafe_run_ids_or_unbounded_versions_are_invalid(name: str) -> None:
    kind, said = INVALID_EVENTS[name]
    value = json.dumps({"task": "letters", **said}).replace('"%"', '"letters"').encode()
    with pytest.raises(Rejected) as refused:
        kind.decode(value, 1)
    assert refused.value.code == "bad_data"


def test_invalid_events_on_lifecycle_are_ignored() -> None:
    records = [make_registration("a", "3", "blob://x"), *map(consumed_record, invalid_records("letters"))]
    _, models = read_registry([*records, make_registration("b", "4", "blob://y")])
    assert (models.route, models.runs, models.frozen) == (Route("2"), {}, None)
    assert list(models.versions) == ["1", "2", "3", "4"]
    assert describe_models(models).route.champion == "2"


def test_a_route_to_an_unknown_version_is_ignored_and_can_be_changed() -> None:
    records = [make_route_change("a", None, "1", "2"), make_route_change("b", "a", "999", "1")]
    _, models = read_registry(records)
    assert (models.route, models.last_change_id) == (Route("1"), "b")
    assert [version.number for version in models.routed_versions] == ["1"]
    assert [change.id for change in models.changes] == ["a"]
    assert read_registry([*records, make_route_change("c", "b", "2", "999")])[1].route == Route("2")


def test_a_rollback_without_a_previous_champion_leaves_none() -> None:
    assert read_registry([make_route_change("a", None, "1", "2", "rollback")])[1].previous_champion is None


def test_a_replaced_card_is_the_versions_card_and_one_of_an_unknown_version_is_ignored() -> None:
    def replacement(unique: str, version: str) -> ConsumedRecord:
        model = ModelRef(name="letters", version=version)
        return make_record(ModelCardReplaced(task="letters", model=model, card={"licence": "MIT"}, actor="us"), unique)

    registry, models = read_registry(
        [
            replacement("early", "3"),
            make_registration("a", "3", "blob://x"),
            replacement("b", "3"),
            replacement("c", "9"),
        ]
    )
    assert models.versions["3"].card == {"licence": "MIT"}
    assert models.versions["3"].artifact == "blob://x"
    assert registry.accepted_ids == {"a", "b"}


def test_nothing_is_read_past_an_event_that_a_newer_release_wrote() -> None:
    registry = Registry([Letters()])
    newer = make_route_change("1", None, "1")
    headers = tuple(
        (name, b"hindsight.route.changed.v99" if name == "ce_type" else value) for name, value in newer.headers
    )
    with pytest.raises(Unavailable, match="upgrade Hindsight"):
        registry.apply(replace(newer, headers=headers))
