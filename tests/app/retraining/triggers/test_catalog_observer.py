"""Observations of a champion, from a catalog of predictions and outcomes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.base import EventData, ModelRef
from app.events.cloudevents import Record
from app.events.lifecycle import RetrainingEnded, RetrainingTriggered, TaskFrozen
from app.events.model_events import ModelEvaluated, ModelRegistered, RouteChanged
from app.monitoring.quality_detector import QualityReference
from app.registry.registry import Registry, TaskModels
from app.retraining.triggers.catalog_observer import CachedLatency, Observer
from app.retraining.triggers.observation import Alert, Observation, TimeWindow, WindowCache
from app.settings.retraining import RetrainingSettings
from tests.support.catalog_fixtures import TASK, TIMINGS, make_failure, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START, consumed_record
from tests.support.scales import Scales

PLAN = RetrainingSettings(window_minutes=60, feedback_wait_minutes=10)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def build_models(*said: tuple[float, EventData]) -> TaskModels:
    """Return the registry of the scales after these events, each at a minute."""
    registry = Registry([Scales()])
    for number, (minute, data) in enumerate(said):
        time = at(minute).isoformat()
        assert registry.apply(
            consumed_record(data.to_record("lifecycle", b"", id=str(number), source="test", time=time))
        )
    return registry.tasks[TASK]


def observe(
    directory: Path,
    records: Sequence[Record],
    minute: float,
    models: TaskModels | None = None,
    plan: RetrainingSettings = PLAN,
) -> Observation:
    """Return the observation at a minute after the start, which is a full hour."""
    with open_catalog(directory, records) as catalog:
        return catalog.query(
            lambda connection: Observer(Scales(), models or build_models(), plan).observe(connection, at(minute))
        )


def reference_score(found: Observation) -> float:
    assert found.reference is not None
    return found.reference.score


def triggered(run_id: str = "r", **more: Any) -> RetrainingTriggered:
    fields = {"task": TASK, "run_id": run_id, "trigger": "manual", "evidence": {}, "champion": "1"} | more
    return RetrainingTriggered.model_validate(fields)


def ended(run_id: str = "r") -> RetrainingEnded:
    return RetrainingEnded(task=TASK, run_id=run_id, outcome="refused", reason="test")


def gated_run(version: str, score: float, metric: str = "score_candidate") -> list[tuple[float, EventData]]:
    """Return a run whose candidate passed the gate with a score, and is the champion from minute 0 on."""
    model = ModelRef(name=TASK, version=version)
    metrics = {metric: score, "off_policy_low": 0.02, "off_policy_high": 0.1}
    evaluated = ModelEvaluated(task=TASK, run_id="r", model=model, dataset="h", metrics=metrics, passed=True)
    registered = ModelRegistered(
        task=TASK, model=model, artifact="blob://x", card={}, run_id="r", preprocess_version="1"
    )
    promoted = RouteChanged(
        task=TASK, action="promote", champion=version, replaced="1", reason="test", actor="us", run_id="r"
    )
    return [(-9, triggered()), (-8, evaluated), (-7, registered), (0, promoted)]


def timed(ms: float) -> dict[str, Any]:
    return {"timings_ms": TIMINGS | {"total": ms}}


def test_a_champion_without_predictions_has_an_empty_observation(tmp_path: Path) -> None:
    found = observe(tmp_path, [], 200)
    assert (found.labelled, found.reference, found.drift, found.latency) == (0, None, None, None)
    assert found.quality is not None
    assert found.quality.value.predictions == 0


# Windows


moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
lengths = st.integers(1, 10_000).map(lambda seconds: timedelta(seconds=seconds))


@given(moments, lengths, st.integers(0, 100_000))
def test_last_complete_windows_are_equal_or_disjoint(moment: datetime, length: timedelta, later: int) -> None:
    one, other = (
        TimeWindow.last_complete(length, moment),
        TimeWindow.last_complete(length, moment + timedelta(seconds=later)),
    )
    assert one.end - one.start == other.end - other.start == length
    assert one == other or one.end <= other.start


@given(moments, lengths)
def test_the_last_complete_window_has_ended_and_the_next_has_not(moment: datetime, length: timedelta) -> None:
    found = TimeWindow.last_complete(length, moment)
    assert found.end <= moment < found.end + length
    assert TimeWindow.last_complete(length, found.end + length) == TimeWindow(found.end, found.end + length)


def test_windows_are_the_last_complete_ones_and_quality_waits_for_feedback(tmp_path: Path) -> None:
    records = [make_prediction(1, at(30)), make_prediction(2, at(90))]
    early, late = observe(tmp_path, records, 125), observe(tmp_path, records, 130)
    assert early.latency and early.quality and late.quality
    assert (early.latency.start, early.latency.end) == (at(60), at(120))
    assert (early.quality.start, early.quality.end) == (at(0), at(60))
    assert (late.quality.start, late.quality.end) == (at(60), at(120))


def test_a_prediction_at_a_boundary_counts_in_the_window_that_starts_there(tmp_path: Path) -> None:
    records = [make_prediction(1, at(0)), make_prediction(2, at(60))]
    first, second = observe(tmp_path, records, 80), observe(tmp_path, records, 140)
    assert first.quality and second.quality
    assert (first.quality.value.predictions, second.quality.value.predictions) == (1, 1)


# Quality


def test_quality_counts_the_champions_predictions_in_the_window_only(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_outcome(1, at(65), score=0.6),  # which came after the window's end
        make_prediction(2, at(-1)),  # said before
        make_outcome(2, at(5), score=0.1),
        make_prediction(3, at(5), "2", "canary"),
        make_outcome(3, at(6), score=0.1),
        make_prediction(4, at(5), role="canary"),
        make_outcome(4, at(6), score=0.1),
        make_failure(5, at(5)),
    ]
    found = observe(tmp_path, records, 80).quality
    assert found is not None
    assert (found.value.predictions, found.value.labelled) == (1, 1)
    assert found.value.score == pytest.approx(0.6)


def test_volunteers_scores_are_not_in_the_quality(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(1)),
        make_outcome(1, at(2), score=0.6),
        make_prediction(2, at(1)),
        make_outcome(2, at(2), "volunteer", score=0.1),
    ]
    found = observe(tmp_path, records, 80).quality
    assert found is not None
    assert (found.value.scored, found.value.labelled) == (2, 1)
    assert found.value.score == pytest.approx(0.6)


def test_rewards_are_the_scores_of_a_task_with_rewards(tmp_path: Path) -> None:
    found = observe(tmp_path, [make_prediction(1, at(1)), make_outcome(1, at(2), "all", reward=-0.5)], 80).quality
    assert found is not None
    assert found.value.score == pytest.approx(-0.5)


# The reference


def test_the_reference_of_a_version_that_passed_the_gate_is_its_score_there(tmp_path: Path) -> None:
    records = [make_prediction(1, at(1), "2"), make_outcome(1, at(2), score=0.1)]
    assert observe(tmp_path, records, 140, build_models(*gated_run("2", 0.875))).reference == QualityReference(0.875)


def test_another_versions_score_at_the_gate_is_not_the_reference(tmp_path: Path) -> None:
    """The champion was rolled back: version 1 never passed a gate."""
    back = RouteChanged(
        task=TASK, action="rollback", follows="3", champion="1", replaced="2", reason="test", actor="us"
    )
    assert observe(tmp_path, [], 140, build_models(*gated_run("2", 0.875), (1, back))).reference is None


def test_the_reference_of_a_version_without_a_gate_is_its_first_complete_window(tmp_path: Path) -> None:
    records = [make_prediction(request, at(minute)) for request, minute in enumerate((-30, 0, 10, 70))]
    records += [make_outcome(request, at(100), score=score) for request, score in enumerate((0.1, 0.6, 0.7, 0.2))]
    assert reference_score(observe(tmp_path, records, 140)) == pytest.approx(0.65)


def test_a_window_is_not_its_own_reference(tmp_path: Path) -> None:
    records = [make_prediction(1, at(0)), make_outcome(1, at(2), score=0.6)]
    early, late = observe(tmp_path, records, 80), observe(tmp_path, records, 140)
    assert early.reference is None
    assert reference_score(late) == pytest.approx(0.6)


def test_predictions_before_the_last_promotion_are_not_the_reference(tmp_path: Path) -> None:
    there = RouteChanged(task=TASK, action="promote", champion="1", replaced="2", reason="test", actor="us")
    records = [
        make_prediction(1, at(0)),
        make_outcome(1, at(1), score=0.1),
        make_prediction(2, at(120)),
        make_outcome(2, at(121), score=0.6),
    ]
    assert reference_score(observe(tmp_path, records, 260, build_models((90, there)))) == pytest.approx(0.6)


# Drift and latency


def test_drift_is_relative_to_the_champions_first_window(tmp_path: Path) -> None:
    records = [make_prediction(request, at(request / 4)) for request in range(200)]
    records += [make_prediction(1000 + request, at(60 + request / 4), confidence=0.25) for request in range(200)]
    first, second = observe(tmp_path, records, 60), observe(tmp_path, records, 120)
    assert first.drift is None
    assert second.drift is not None
    assert {one.feature: one.drifted for one in second.drift.value} == {
        "outputs.confidence": True,
        "outputs.length": False,
    }


def test_few_events_show_no_drift(tmp_path: Path) -> None:
    records = [make_prediction(request, at(request / 4)) for request in range(200)]
    found = observe(tmp_path, [*records, make_prediction(1000, at(60), confidence=0.25)], 120).drift
    assert found is not None
    assert not found.value


def test_latency_is_the_99th_percentile_of_the_total(tmp_path: Path) -> None:
    records = [make_prediction(request, at(1), **timed(request)) for request in range(101)]
    found = observe(tmp_path, records, 60).latency
    assert found is not None
    assert found.value.p99_ms == pytest.approx(99.0)
    assert found.value.events == 101


def test_the_latency_of_a_window_is_computed_again_only_after_late_predictions(tmp_path: Path) -> None:
    kept: WindowCache = {}

    def look(records: Sequence[Record]) -> tuple[Observation, list[CachedLatency]]:
        with open_catalog(tmp_path, records) as catalog:
            found = catalog.query(
                lambda connection: Observer(Scales(), build_models(), PLAN, kept).observe(connection, at(60))
            )
        return found, list(kept.values())

    early = [make_prediction(request, at(1), **timed(request)) for request in range(10)]
    first, [summary] = look(early)
    again, [same] = look(early)
    assert same is summary
    assert again == first
    late, [other] = look([*early, make_prediction(10, at(2), **timed(1000))])
    assert other is not summary
    assert late.latency is not None
    assert late.latency.value.events == 11


# Labels


def test_labelled_events_are_counted_since_the_start_of_the_last_run(tmp_path: Path) -> None:
    records = [make_outcome(request, at(minute), score=0.5) for request, minute in enumerate((-2, -1, 1, 2, 3))]
    over = build_models((-3, triggered("q")), (-2.5, ended("q")), (0, triggered()), (0.5, ended()))
    assert observe(tmp_path, records, 60, over).labelled == 3
    assert observe(tmp_path, records, 60).labelled == 5


def test_a_given_reward_counts_as_a_label_and_a_default_reward_does_not(tmp_path: Path) -> None:
    records = [
        make_outcome(1, at(1), reward=1.0),
        make_outcome(2, at(1), reward=0.0, reward_defaulted=True),
        make_outcome(3, at(1), "volunteer", score=0.5),
        make_outcome(4, at(1), accepted=True),  # which says nothing to learn from
        make_outcome(5, at(1), score=0.5, reward=0.0, reward_defaulted=True),
        make_outcome(6, at(1), task="others", score=0.5),
    ]
    assert observe(tmp_path, records, 60).labelled == 3


def test_an_observation_has_the_active_run_the_freeze_and_alerts(tmp_path: Path) -> None:
    alert = Alert("HindsightRetrain", START)
    frozen = TaskFrozen(task=TASK, frozen=True, reason="test", actor="us")
    with open_catalog(tmp_path, []) as catalog:
        quiet = catalog.query(lambda it: Observer(Scales(), build_models(), PLAN).observe(it, START))
        busy = catalog.query(
            lambda it: Observer(Scales(), build_models((0, triggered()), (1, frozen)), PLAN).observe(it, START, [alert])
        )
    assert (quiet.running, quiet.frozen, quiet.alerts) == (False, False, ())
    assert (busy.running, busy.frozen, busy.alerts) == (True, True, [alert])
