"""Incidents over simulated hours."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.events.base import ModelRef
from app.events.lifecycle import DriftDetected, LatencyRose, QualityFell
from app.retraining.triggers.evaluate import evaluate
from app.retraining.triggers.incidents import Incident, detect_incidents
from app.retraining.triggers.observation import Observation, TaskTriggerState, restore_state
from app.settings.triggers import TriggerSettings
from tests.app.retraining.triggers.test_evaluate import to_event
from tests.support.triggers import HOUR, NOON, drift_at, latency_at, quality_at

MODEL = ModelRef(name="scales", version="1")
PLAN = TriggerSettings(min_new_labels=None, latency_max_p99_ms=100, quality_alpha=1e-4, quality_tolerance=0.0)
FELL, DRIFTED, ROSE = 0.5, 9.0, 500.0


def detect(
    looks: list[Observation], state: TaskTriggerState | None = None, plan: TriggerSettings = PLAN
) -> list[Incident]:
    """Return the incidents of these looks, one each hour."""
    said, now, state = list[Incident](), NOON, state or TaskTriggerState()
    for seen in looks:
        now += HOUR
        after, _ = evaluate(state, seen, now, plan)
        said += detect_incidents(MODEL, state, after, seen, plan)
        state = after
    return said


def test_a_loss_of_quality_opens_one_incident_until_a_healthy_window() -> None:
    found = detect([quality_at(hour, score) for hour, score in enumerate((0.95, FELL, FELL, 0.95, FELL))])
    assert [type(one.event) for one in found] == [QualityFell, QualityFell]
    first = found[0].event
    assert isinstance(first, QualityFell)
    assert (first.model, first.score, first.labelled) == (MODEL, FELL, 400)


def test_each_drifted_feature_opens_an_incident() -> None:
    [found] = detect([drift_at(0, 0.0), drift_at(1, DRIFTED), drift_at(2, DRIFTED)])
    assert isinstance(found.event, DriftDetected)
    assert (found.event.what, found.event.feature, found.event.statistic) == ("outputs", "confidence", DRIFTED)


def test_a_rise_of_latency_opens_an_incident() -> None:
    [found] = detect([latency_at(0, 20), latency_at(1, ROSE)])
    assert isinstance(found.event, LatencyRose)
    assert (found.event.p99_ms, found.event.bound_ms) == (ROSE, 100)


def test_incidents_open_while_the_task_is_frozen_or_retrained() -> None:
    for state in ({"frozen": True}, {"running": True}):
        assert len(detect([replace(quality_at(0, FELL), **state)])) == 1  # type: ignore[arg-type]


def test_two_processes_publish_the_incident_of_a_window_under_one_id() -> None:
    looks = [quality_at(0, 0.95), quality_at(1, FELL)]
    one, other = detect(looks), detect(looks[1:])
    assert one[0].record == other[0].record


def test_another_window_has_another_id() -> None:
    first, second = detect([quality_at(0, FELL), quality_at(1, 0.95), quality_at(2, FELL)])
    assert first.record != second.record


def test_a_window_between_breach_and_healthy_closes_no_incident() -> None:
    bounded = PLAN.model_copy(update={"quality_min_score": 0.8, "quality_tolerance": 0.02})
    between = quality_at(1, 0.879, labelled=100)  # below the reference less the tolerance, by what may be chance
    assert len(detect([quality_at(0, FELL), between, quality_at(2, FELL)], plan=bounded)) == 1
    assert len(detect([quality_at(0, FELL), quality_at(1, 0.95), quality_at(2, FELL)], plan=bounded)) == 2


def test_the_start_of_a_run_reopens_no_incident() -> None:
    seen = replace(quality_at(0, FELL), latency=latency_at(0, ROSE).latency)
    before, [firing] = evaluate(TaskTriggerState(), seen, NOON + HOUR, PLAN)
    assert firing.trigger == "quality"
    again = restore_state([(NOON + HOUR, to_event(firing))])
    bad = [seen, replace(quality_at(1, FELL), latency=latency_at(1, ROSE).latency)]
    assert detect(bad, again.merge_reported(before)) == []
    assert [type(one.event) for one in detect(bad, again)] == [
        LatencyRose
    ]  # by who has just begun, and knows the log alone


@given(st.lists(st.sampled_from([0.95, FELL]), max_size=12))
def test_each_new_loss_of_quality_opens_an_incident(scores: list[float]) -> None:
    falls = sum(now == FELL and before != FELL for before, now in zip([0.95, *scores], scores, strict=False))
    assert len(detect([quality_at(hour, score) for hour, score in enumerate(scores)])) == falls


def test_a_second_look_at_a_window_opens_no_incident() -> None:
    seen = quality_at(0, FELL)
    state, now = TaskTriggerState(), NOON + timedelta(hours=2)
    after, _ = evaluate(state, seen, now, PLAN)
    again, _ = evaluate(after, seen, now, PLAN)
    assert len(list(detect_incidents(MODEL, state, after, seen, PLAN))) == 1
    assert list(detect_incidents(MODEL, after, again, seen, PLAN)) == []
