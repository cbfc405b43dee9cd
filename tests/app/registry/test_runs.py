"""A retraining run as the log tells it, however often each of its events is delivered."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.base import EventData, ModelRef
from app.events.cloudevents import ConsumedRecord
from app.events.lifecycle import RetrainingEnded, RetrainingTriggered, TaskFrozen
from app.events.model_events import (
    Backtest,
    DatasetBuilt,
    ModelBacktested,
    ModelEvaluated,
    ModelRegistered,
    ModelTrained,
    RouteChanged,
)
from app.registry.registry import Registry, TaskModels
from app.registry.runs import STEPS, Run
from tests.support.record_strategies import consumed_record
from tests.support.tasks import Letters

CANDIDATE = ModelRef(name="letters", version="3")


def triggered(run_id: str = "r") -> RetrainingTriggered:
    return RetrainingTriggered(task="letters", run_id=run_id, trigger="volume", evidence={}, champion="2")


def built(run_id: str | None = "r", rows: int = 7) -> DatasetBuilt:
    return DatasetBuilt(task="letters", content_hash="h", location="file:///d", rows=rows, manifest={}, run_id=run_id)


def trained(seed: int = 1) -> ModelTrained:
    return ModelTrained(task="letters", run_id="r", model=CANDIDATE, parent="2", dataset="h", seed=seed, code="0123456")


def backtested() -> ModelBacktested:
    found = Backtest(rows=7, unanswered=0, agreement=1.0, outcomes=0, difference=None, interval=None, spans=())
    return ModelBacktested(task="letters", run_id="r", model=CANDIDATE, dataset="h", backtest=found)


def evaluated(passed: bool = True) -> ModelEvaluated:
    return ModelEvaluated(task="letters", run_id="r", model=CANDIDATE, dataset="h", metrics={}, passed=passed)


def registered(version: str = "3") -> ModelRegistered:
    model = ModelRef(name="letters", version=version)
    return ModelRegistered(
        task="letters", model=model, artifact="blob://x", card={}, run_id="r", preprocess_version="1"
    )


def routed(follows: str | None = None) -> RouteChanged:
    return RouteChanged(
        task="letters",
        action="shadow",
        follows=follows,
        champion="2",
        shadows=("3",),
        reason="test",
        actor="us",
        run_id="r",
    )


def ended(run_id: str = "r") -> RetrainingEnded:
    return RetrainingEnded(task="letters", run_id=run_id, outcome="refused", reason="test")


def frozen(frozen: bool) -> TaskFrozen:
    return TaskFrozen(task="letters", frozen=frozen, reason="test", actor="us")


WAY: tuple[EventData, ...] = (triggered(), built(), trained(), backtested(), evaluated(), registered())
"""A run up to its rollout: each step by its event."""


def log(said: Sequence[EventData]) -> list[ConsumedRecord]:
    """The records that say this, each its own event."""
    return [
        consumed_record(data.to_record("lifecycle", b"letters", id=str(at), source="test", time="2026-01-01T00:00:00Z"))
        for at, data in enumerate(said)
    ]


def heard(records: Sequence[ConsumedRecord]) -> tuple[Registry, TaskModels]:
    registry = Registry([Letters()])
    for record in records:
        registry.apply(record)
    return registry, registry.tasks["letters"]


def run_of(said: Sequence[EventData]) -> Run:
    return heard(log(said))[1].runs["r"]


@pytest.mark.parametrize(("events", "step"), list(enumerate(STEPS, start=1)))
def test_each_event_leads_to_the_next_step(events: int, step: str) -> None:
    assert run_of(WAY[:events]).step == step


@given(st.data())
def test_a_run_is_the_same_however_often_its_events_are_delivered(data: st.DataObject) -> None:
    """A delivery again is of what was delivered before: it goes back in the log, and on from there."""
    records = log([*WAY, routed(), ended()])[: data.draw(st.integers(1, 7))]
    delivered = list[ConsumedRecord]()
    for at in range(1, len(records) + 1):
        delivered += records[data.draw(st.integers(0, at - 1)) : at]
    assert heard(delivered)[1].runs == heard(records)[1].runs


def test_of_two_events_that_say_one_step_the_first_counts() -> None:
    registry, models = heard(log([triggered(), built(), trained(seed=1), trained(seed=2)]))
    assert models.runs["r"].trained == trained(seed=1)
    assert registry.accepted_ids == {"0", "1", "2"}


def test_nothing_is_heard_of_a_run_after_its_end() -> None:
    run = run_of([triggered(), built(), ended(), trained(), evaluated()])
    assert (run.trained, run.evaluated, run.step, run.ended) == (None, None, None, ended())


def test_a_run_that_is_over_is_not_ended_otherwise() -> None:
    later = RetrainingEnded(task="letters", run_id="r", outcome="failed", reason="too late")
    assert run_of([triggered(), ended(), later]).ended == ended()


def test_a_run_notes_the_changes_of_the_route_that_are_in_force_and_no_others() -> None:
    said = [*WAY, routed(), routed(follows="something else")]
    run = run_of(said)
    assert [change for _, change in run.routes] == [routed()]


def test_what_is_said_of_no_run_is_of_none() -> None:
    assert run_of([triggered(), built(run_id=None), built(run_id="unknown")]).step == "dataset"


def test_a_registration_whose_number_is_taken_does_not_register_the_candidate() -> None:
    other = registered().model_copy(update={"run_id": None, "artifact": "blob://theirs"})
    run = run_of([*WAY[:-1], other, registered()])
    assert (run.registered, run.step) == (None, "register")


def test_a_run_does_not_begin_while_another_one_is_under_way() -> None:
    registry, models = heard(log([triggered("r"), triggered("s")]))
    assert (list(models.runs), registry.accepted_ids) == (["r"], {"0"})


def test_a_run_begins_once_the_one_before_is_over() -> None:
    _, models = heard(log([triggered("r"), ended("r"), triggered("s")]))
    assert list(models.runs) == ["r", "s"]
    assert models.active_run == models.runs["s"]


def test_a_run_that_is_over_does_not_begin_again() -> None:
    _, models = heard(log([triggered("r"), ended("r"), triggered("r")]))
    assert models.active_run is None
    assert models.runs["r"].ended == ended()


def test_a_run_does_not_begin_while_the_task_is_frozen() -> None:
    registry, models = heard(log([frozen(True), triggered("r")]))
    assert (models.runs, registry.accepted_ids) == ({}, {"0"})


def test_a_run_begins_once_the_task_is_no_longer_frozen() -> None:
    _, models = heard(log([frozen(True), frozen(False), triggered("r")]))
    assert list(models.runs) == ["r"]


def test_a_run_that_is_under_way_goes_on_while_the_task_is_frozen() -> None:
    assert run_of([triggered(), frozen(True), built()]).step == "train"
