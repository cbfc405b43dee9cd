"""Retraining runs from the log, with redelivered events."""

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


def triggered(run_id: str = "r", candidates: int = 1) -> RetrainingTriggered:
    fields = {"task": "letters", "run_id": run_id, "trigger": "volume", "evidence": {}, "champion": "2"}
    return RetrainingTriggered.model_validate(fields | {"candidates": candidates})


def dataset_built(run_id: str | None = "r", rows: int = 7) -> DatasetBuilt:
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


def task_frozen(frozen: bool) -> TaskFrozen:
    return TaskFrozen(task="letters", frozen=frozen, reason="test", actor="us")


WAY: tuple[EventData, ...] = (triggered(), dataset_built(), trained(), backtested(), evaluated(), registered())
"""The events of a run up to its rollout."""


def to_records(said: Sequence[EventData]) -> list[ConsumedRecord]:
    """Return the records of these data, each with its own event id."""
    return [
        consumed_record(data.to_record("lifecycle", b"letters", id=str(at), source="test", time="2026-01-01T00:00:00Z"))
        for at, data in enumerate(said)
    ]


def read_registry(records: Sequence[ConsumedRecord]) -> tuple[Registry, TaskModels]:
    registry = Registry([Letters()])
    for record in records:
        registry.apply(record)
    return registry, registry.tasks["letters"]


def build_run(said: Sequence[EventData]) -> Run:
    return read_registry(to_records(said))[1].runs["r"]


@pytest.mark.parametrize(("events", "step"), list(enumerate(STEPS, start=1)))
def test_each_event_leads_to_the_next_step(events: int, step: str) -> None:
    assert build_run(WAY[:events]).step == step


@given(st.data())
def test_redelivered_events_do_not_change_a_run(data: st.DataObject) -> None:
    """A redelivery goes back in the log and continues from there."""
    records = to_records([*WAY, routed(), ended()])[: data.draw(st.integers(1, 7))]
    delivered = list[ConsumedRecord]()
    for at in range(1, len(records) + 1):
        delivered += records[data.draw(st.integers(0, at - 1)) : at]
    assert read_registry(delivered)[1].runs == read_registry(records)[1].runs


def test_the_first_event_of_a_step_counts() -> None:
    registry, models = read_registry(to_records([triggered(), dataset_built(), trained(seed=1), trained(seed=2)]))
    assert models.runs["r"].lead.trained == trained(seed=1)
    assert registry.accepted_ids == {"0", "1", "2"}


def test_events_after_the_end_of_a_run_are_ignored() -> None:
    run = build_run([triggered(), dataset_built(), ended(), trained(), evaluated()])
    assert (run.lead.trained, run.evaluated, run.step, run.ended) == (None, None, None, ended())


def test_an_ended_run_keeps_its_outcome() -> None:
    later = RetrainingEnded(task="letters", run_id="r", outcome="failed", reason="too late")
    assert build_run([triggered(), ended(), later]).ended == ended()


def test_a_run_has_the_route_changes_in_force_only() -> None:
    said = [*WAY, routed(), routed(follows="something else")]
    run = build_run(said)
    assert [change for _, change in run.routes] == [routed()]


def test_events_without_a_run_id_belong_to_no_run() -> None:
    assert build_run([triggered(), dataset_built(run_id=None), dataset_built(run_id="unknown")]).step == "dataset"


def test_a_registration_under_a_taken_number_does_not_register_the_candidate() -> None:
    other = registered().model_copy(update={"run_id": None, "artifact": "blob://theirs"})
    run = build_run([*WAY[:-1], other, registered()])
    assert (run.registered, run.step) == (None, "register")


def test_a_run_does_not_start_while_another_one_is_active() -> None:
    registry, models = read_registry(to_records([triggered("r"), triggered("s")]))
    assert (list(models.runs), registry.accepted_ids) == (["r"], {"0"})


def test_a_run_starts_after_the_previous_one_has_ended() -> None:
    _, models = read_registry(to_records([triggered("r"), ended("r"), triggered("s")]))
    assert list(models.runs) == ["r", "s"]
    assert models.active_run == models.runs["s"]


def test_an_ended_run_does_not_start_again() -> None:
    _, models = read_registry(to_records([triggered("r"), ended("r"), triggered("r")]))
    assert models.active_run is None
    assert models.runs["r"].ended == ended()


def test_a_run_does_not_start_while_the_task_is_frozen() -> None:
    registry, models = read_registry(to_records([task_frozen(True), triggered("r")]))
    assert (models.runs, registry.accepted_ids) == ({}, {"0"})


def test_a_run_starts_after_the_task_is_unfrozen() -> None:
    _, models = read_registry(to_records([task_frozen(True), task_frozen(False), triggered("r")]))
    assert list(models.runs) == ["r"]


def test_an_active_run_continues_while_the_task_is_frozen() -> None:
    assert build_run([triggered(), task_frozen(True), dataset_built()]).step == "train"


# Several candidates


def of_candidate(data: ModelTrained | ModelBacktested | ModelEvaluated, id: str) -> EventData:
    return data.model_copy(update={"model": ModelRef(name="letters", version=id)})


def registered_as(version: str, candidate: str) -> ModelRegistered:
    return registered(version).model_copy(update={"candidate": candidate, "artifact": f"blob://{version}"})


BOTH: tuple[EventData, ...] = (
    triggered(candidates=2),
    dataset_built(),
    of_candidate(trained(), "r"),
    of_candidate(trained(), "r.2"),
    of_candidate(backtested(), "r"),
    of_candidate(backtested(), "r.2"),
    of_candidate(evaluated(), "r"),
    of_candidate(evaluated(), "r.2"),
    registered_as("3", "r"),
    registered_as("4", "r.2"),
)
"""The events of a run with two candidates up to its rollout."""


def test_a_step_is_done_once_it_is_for_each_candidate() -> None:
    steps = [build_run(BOTH[:events]).step for events in range(1, len(BOTH) + 1)]
    assert steps == ["dataset", *(step for step in STEPS[1:-1] for _ in range(2)), "rollout"]


def test_a_candidate_has_the_version_that_was_registered_for_it() -> None:
    run = build_run([*BOTH[:-2], registered_as("3", "r.2"), registered_as("4", "r")])
    assert [candidate.version for candidate in run.candidates] == ["4", "3"]
    assert run.candidate_of("3") is run.candidates[1]
    assert run.candidate_of("2") is None


def test_candidates_that_the_gate_refused_are_not_registered() -> None:
    first, second = (of_candidate(evaluated(passed=False), id) for id in ("r", "r.2"))
    run = build_run([*BOTH[:6], first, BOTH[7]])
    assert (run.step, run.refusal, run.lead.number) == ("register", None, 2)
    assert build_run([*BOTH[:6], first, BOTH[7], registered_as("3", "r.2")]).step == "rollout"
    assert build_run([*BOTH[:6], first]).refusal is None
    assert build_run([*BOTH[:6], first, second]).refusal == "Candidate 1:  Candidate 2: "


def test_the_lead_is_the_candidate_that_still_serves() -> None:
    only_second = routed().model_copy(update={"shadows": ("4",)})
    assert build_run(BOTH).lead.version == "3"
    assert build_run([*BOTH, only_second]).lead.version == "4"


def test_events_of_older_releases_belong_to_the_only_candidate() -> None:
    run = build_run([triggered(), dataset_built(), of_candidate(trained(), "whatever"), *WAY[3:]])
    assert (run.step, run.lead.version) == ("rollout", "3")
