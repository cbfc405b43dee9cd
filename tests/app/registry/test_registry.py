import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SetupError
from app.events.base import EventData, ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.registry import Registry, TaskModels
from app.registry.responses import describe_models
from app.registry.routes import Route
from models.base import Rejected
from tests.support.invalid_events import INVALID_EVENTS, invalid_records
from tests.support.record_strategies import consumed_record
from tests.support.tasks import Letters


def said(data: EventData, unique: str) -> ConsumedRecord:
    return consumed_record(
        data.to_record("lifecycle", b"letters", id=unique, source="test", time="2026-01-01T00:00:00Z")
    )


def change(
    unique: str, follows: str | None, champion: str, replaced: str | None = None, action: str = "promote"
) -> ConsumedRecord:
    return said(
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


def registered(unique: str, version: str, artifact: str) -> ConsumedRecord:
    model = ModelRef(name="letters", version=version)
    return said(
        ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="1"), unique
    )


def heard(records: Sequence[ConsumedRecord]) -> tuple[Registry, TaskModels]:
    registry = Registry([Letters()])
    for record in records:
        registry.apply(record)
    return registry, registry.tasks["letters"]


def test_until_a_route_is_said_the_newest_shipped_version_serves() -> None:
    _, models = heard([registered("a", "3", "blob://x")])
    assert list(models.versions) == ["1", "2", "3"]
    assert (models.route, models.last_change_id, models.previous_champion) == (Route("2"), None, None)


def test_the_last_change_that_follows_the_one_before_is_the_route() -> None:
    registry, models = heard([change("a", None, "1", "2"), change("b", "a", "2", "1")])
    assert (models.route, models.last_change_id) == (Route("2"), "b")
    assert registry.accepted_ids == {"a", "b"}


def test_of_two_changes_upon_one_the_first_is_in_force() -> None:
    registry, models = heard([change("a", None, "1", "2"), change("b", None, "2"), change("c", "b", "2")])
    assert (models.route, registry.accepted_ids) == (Route("1"), {"a"})


def test_a_change_that_is_delivered_twice_counts_once() -> None:
    _, models = heard([change("a", None, "1", "2")] * 2)
    assert len(models.changes) == 1


def test_a_versions_number_is_the_first_ones_who_took_it() -> None:
    registry, models = heard([registered("a", "3", "blob://x"), registered("b", "3", "blob://y")])
    assert models.versions["3"].artifact == "blob://x"
    assert registry.accepted_ids == {"a"}


def test_each_rollback_goes_back_one_champion_further() -> None:
    records = [registered("3", "3", "blob://x"), registered("4", "4", "blob://y")]
    records += [change("a", None, "3", "2"), change("b", "a", "4", "3")]
    assert heard(records)[1].previous_champion == "3"
    records.append(change("c", "b", "3", "4", "rollback"))
    assert heard(records)[1].previous_champion == "2"
    records.append(change("d", "c", "2", "3", "rollback"))
    assert heard(records)[1].previous_champion is None


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("12")), max_size=12))
def test_hearing_a_log_again_changes_nothing(log: list[tuple[int, str]]) -> None:
    """Whatever was said upon whatever: at-least-once delivery gives the same registry."""
    records = [change(str(n), None if on == 5 else str(on), champion) for n, (on, champion) in enumerate(log)]
    once, twice = heard(records)[1], heard([record for record in records for _ in range(2)])[1]
    assert once.changes == twice.changes


def test_what_is_of_other_tasks_or_can_not_be_read_is_left_alone() -> None:
    other = RouteChanged(task="other", action="promote", champion="9", reason="test", actor="us")
    bad = Record("lifecycle", b"letters", b"{}", (("ce_type", RouteChanged.type.encode()),))
    registry, models = heard([said(other, "a"), consumed_record(bad)])
    assert (models.changes, registry.accepted_ids) == ([], set())


def test_a_version_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SetupError, match="no version '9'") as refused:
        heard([])[1].version("9")
    assert refused.value.remedy == "Name one of 1, 2."


@pytest.mark.parametrize("name", INVALID_EVENTS)
def test_data_that_would_become_a_path_or_an_endless_number_is_no_event(name: str) -> None:
    kind, said = INVALID_EVENTS[name]
    value = json.dumps({"task": "letters", **said}).replace('"%"', '"letters"').encode()
    with pytest.raises(Rejected) as refused:
        kind.decode(value, 1)
    assert refused.value.code == "bad_data"


def test_poison_on_lifecycle_changes_nothing_and_stops_no_reader() -> None:
    records = [registered("a", "3", "blob://x"), *map(consumed_record, invalid_records("letters"))]
    _, models = heard([*records, registered("b", "4", "blob://y")])
    assert (models.route, models.runs, models.frozen) == (Route("2"), {}, None)
    assert list(models.versions) == ["1", "2", "3", "4"]
    assert describe_models(models).route.champion == "2"


def test_a_route_to_a_version_that_there_is_not_is_passed_over_and_can_be_changed() -> None:
    records = [change("a", None, "1", "2"), change("b", "a", "999", "1")]
    _, models = heard(records)
    assert (models.route, models.last_change_id) == (Route("1"), "b")
    assert [version.number for version in models.routed_versions] == ["1"]
    assert [change.id for change in models.changes] == ["a"]
    assert heard([*records, change("c", "b", "2", "999")])[1].route == Route("2")


def test_a_rollback_without_a_champion_before_is_no_error() -> None:
    assert heard([change("a", None, "1", "2", "rollback")])[1].previous_champion is None
