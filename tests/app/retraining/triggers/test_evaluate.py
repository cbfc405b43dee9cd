import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.events.lifecycle import RetrainingTriggered
from app.monitoring.drift import DriftFinding
from app.retraining.triggers.evaluate import Firing, Observation, TriggerSettings, evaluate, explain
from app.retraining.triggers.observation import Alert, TaskTriggerState, WindowValue, restore_state
from tests.support.triggers import (
    ALERT,
    BOUND,
    DRIFT,
    HOUR,
    LATENCY,
    NIGHTLY,
    NOON,
    OFF,
    QUALITY,
    VOLUME,
    drift_at,
    explain_trigger,
    fired_triggers,
    latency_at,
    quality_at,
)

BAD = quality_at(0, 0.1)


def test_volume_fires_after_enough_labels_since_the_last_dataset() -> None:
    assert fired_triggers([Observation(labelled=99), Observation(labelled=100)], VOLUME) == [None, "volume"]


@pytest.mark.parametrize(("score", "fires"), [(0.9, False), (0.895, False), (0.88, True)])  # -2 and -8 standard errors
def test_a_score_significantly_below_the_champions_reference_fires(score: float, fires: bool) -> None:
    assert fired_triggers([quality_at(0, score)], QUALITY) == ["quality" if fires else None]


def test_a_loss_of_quality_within_the_tolerance_does_not_fire() -> None:
    assert fired_triggers([quality_at(0, 0.85)], QUALITY.model_copy(update={"quality_tolerance": 0.05})) == [None]


def test_a_score_below_the_minimum_fires_whatever_the_reference() -> None:
    assert fired_triggers([quality_at(0, 0.81), quality_at(1, 0.79)], BOUND) == [None, "quality"]


@pytest.mark.parametrize("seen", [quality_at(0, 0.1, labelled=99), quality_at(0, 0.1, answered=0.4)])
def test_a_window_with_too_few_labels_or_answers_is_insufficient_data(seen: Observation) -> None:
    assert fired_triggers([seen], BOUND) == [None]
    assert explain_trigger(seen, BOUND, "quality").missing[0].endswith(("needed.", "is needed: 40 more reviews."))


def test_a_window_is_judged_once_and_so_is_each_event() -> None:
    sliding = [replace(drift_at(0, 0.2), drift=sliding_window(minutes)) for minutes in range(60)]
    assert fired_triggers(sliding, DRIFT, timedelta(minutes=1)) == [None] * 60


def sliding_window(minutes: int) -> WindowValue[Any]:
    shift = timedelta(minutes=minutes)
    return WindowValue(NOON + shift, NOON + HOUR + shift, [DriftFinding("ks", "confidence", 0.2, 0.1, 500)])


def test_drift_fires_after_enough_windows_above_the_threshold() -> None:
    looks = [drift_at(hour, one) for hour, one in enumerate([0.2, 0.05, 0.2, 0.2, 0.2])]
    assert fired_triggers(looks, DRIFT) == [None, None, None, "drift", None]


def test_latency_fires_after_enough_windows_above_the_bound() -> None:
    looks = [latency_at(hour, one) for hour, one in enumerate([60, 60, 40, 60, 60, 60])]
    assert fired_triggers(looks, LATENCY) == [None, None, None, None, None, "latency"]


def test_a_p99_of_a_few_answers_is_insufficient_data() -> None:
    assert fired_triggers([latency_at(hour, 60, events=99) for hour in range(5)], LATENCY) == [None] * 5


def test_the_schedule_fires_at_its_times_in_utc_and_once_after_missed_ones() -> None:
    state, firings = evaluate(TaskTriggerState(), Observation(), NOON, NIGHTLY)
    assert firings == []
    state, firings = evaluate(state, Observation(), datetime(2026, 1, 2, 2, 59, tzinfo=UTC), NIGHTLY)
    assert firings == []
    late = datetime.fromisoformat("2026-01-05T05:00:00+01:00")
    state, firings = evaluate(state, Observation(), late, NIGHTLY)
    assert [one.evidence["due"] for one in firings] == ["2026-01-02 03:00:00 UTC"]
    assert evaluate(state, Observation(), late + HOUR, NIGHTLY)[1] == []


def test_a_configured_alert_fires_once() -> None:
    seen = Observation(alerts=[Alert("HindsightRetrain", NOON)])
    assert fired_triggers([Observation(alerts=[Alert("DiskFull", NOON)]), seen, seen], ALERT) == [None, "alert", None]


def test_an_alert_that_starts_during_a_run_fires_after_it() -> None:
    first, second = Alert("HindsightRetrain", NOON), Alert("HindsightRetrain", NOON + 1.5 * HOUR)
    looks = [Observation(alerts=[first]), Observation(alerts=[second], running=True), Observation(alerts=[second])]
    assert fired_triggers(looks, ALERT) == ["alert", None, "alert"]


@pytest.mark.parametrize("forbidden", [replace(BAD, running=True), replace(BAD, frozen=True)])
def test_due_triggers_fire_after_a_run_or_freeze_and_not_during_it(
    forbidden: Observation,
) -> None:
    assert fired_triggers([forbidden, BAD], BOUND) == [None, "quality"]
    assert fired_triggers([forbidden, quality_at(1, 0.9)], BOUND) == [None, None]


def test_the_cool_down_counts_from_the_end_of_a_run() -> None:
    triggers = VOLUME.model_copy(update={"cooldown_seconds": 7200.0})
    much = Observation(labelled=1000)
    looks = [much, replace(much, running=True), replace(much, running=True), much, much]
    assert fired_triggers(looks, triggers) == ["volume", None, None, None, "volume"]


def test_the_strongest_due_trigger_fires_with_the_others_as_evidence() -> None:
    triggers = VOLUME.model_copy(update={"quality_min_score": 0.8, "latency_max_p99_ms": 50.0, "latency_windows": 1})
    seen = replace(quality_at(0, 0.1), labelled=500, latency=latency_at(0, 60.0).latency)
    state, [firing] = evaluate(TaskTriggerState(), seen, NOON + HOUR, triggers)
    assert firing.trigger == "quality"
    assert (round(firing.evidence["score"], 6), firing.evidence["bound"]) == (0.1, 0.8)
    assert list(firing.evidence["also"]) == ["latency", "volume"]
    assert firing.evidence["also"]["volume"] == {"labelled": 500, "bound": 100}
    assert evaluate(state, replace(seen, labelled=0), NOON + 2 * HOUR, triggers)[1] == []


def test_a_disabled_trigger_never_fires_and_explains_why() -> None:
    seen = replace(quality_at(0, 0.1), labelled=10**6, alerts=[Alert("HindsightRetrain", NOON)])
    assert fired_triggers([seen], OFF) == [None]
    assert {one.missing for one in explain(TaskTriggerState(), seen, NOON, OFF)} == {("It is switched off.",)}


def test_explanations_name_what_is_missing() -> None:
    found = explain_trigger(replace(quality_at(0, 0.9), labelled=60, frozen=True), VOLUME, "volume")
    assert found.sees == "60 labelled events since the last dataset."
    assert found.bound == "100 labelled events."
    assert found.missing == ("40 labelled events are missing.", "The task is frozen.")
    assert not found.fires


def test_a_fired_trigger_explains_when_it_arms_again() -> None:
    triggers = LATENCY.model_copy(update={"latency_windows": 1})
    state, _ = evaluate(TaskTriggerState(), latency_at(0, 60), NOON + HOUR, triggers)
    found = explain_trigger(latency_at(1, 60), triggers, "latency", state)
    assert found.missing == ("It has fired: it arms again with the first window that is well.",)


@pytest.mark.parametrize("words", ["every night", "0 0 30 2 *", ""])
def test_a_schedule_without_times_is_refused(words: str) -> None:
    with pytest.raises(ValidationError, match="schedule"):
        TriggerSettings(schedule=words)


@pytest.mark.parametrize("wrong", [{"volumes": 1}, {"min_new_labels": 0}, {"quality_alpha": 0.5}])
def test_invalid_trigger_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TriggerSettings(**wrong)


SEEN = st.builds(
    lambda hour, score, statistic, p99, labelled, running, frozen: replace(
        quality_at(hour, score),
        drift=drift_at(hour, statistic).drift,
        latency=latency_at(hour, p99).latency,
        labelled=labelled,
        running=running,
        frozen=frozen,
    ),
    st.integers(0, 30),
    st.floats(0, 0.95),
    st.floats(0, 1),
    st.floats(1, 100),
    st.integers(0, 200),
    st.booleans(),
    st.booleans(),
)
ALL = TriggerSettings(
    min_new_labels=100,
    quality_min_score=0.5,
    latency_max_p99_ms=50.0,
    latency_windows=2,
    schedule="0 */4 * * *",
    cooldown_seconds=1800,
)


def to_event(firing: Firing) -> RetrainingTriggered:
    """Return the event as it is read from the log."""
    made = RetrainingTriggered(task="ocr", run_id="1", trigger=firing.trigger, evidence=firing.evidence, champion="1")
    return RetrainingTriggered.decode(made.model_dump_json().encode(), 1)


@given(st.lists(SEEN, max_size=12))
def test_any_observations_keep_the_invariants_of_the_triggers(looks: list[Observation]) -> None:
    """At most one run, as `explain` says; the state is plain JSON, and its essential part is restored from the log."""
    state, log = TaskTriggerState(), []
    for number, seen in enumerate(looks):
        now = NOON + number * HOUR
        would = [one.trigger for one in explain(state, seen, now, ALL) if one.fires]
        state, firings = evaluate(state, seen, now, ALL)
        assert [name for one in firings for name in (one.trigger, *one.evidence.get("also", {}))] == would
        assert len(firings) <= 1
        assert not (firings and (seen.running or seen.frozen))
        log += [(now, to_event(one)) for one in firings]
        assert [one.evidence for one in firings] == [said.evidence for at, said in log if at == now]
        assert TypeAdapter(TaskTriggerState).validate_python(json.loads(json.dumps(asdict(state)))) == state
        restored = restore_state(log)
        assert restored.last_triggered == state.last_triggered
        if any("quality" in (one.trigger, *one.evidence.get("also", {})) for one in firings):
            assert restored.quality == state.quality


def test_a_state_restored_from_the_log_knows_the_triggers_that_fired() -> None:
    triggers = BOUND.model_copy(update={"latency_max_p99_ms": 50.0, "latency_windows": 1, "schedule": "0 3 * * *"})
    seen = replace(BAD, latency=latency_at(0, 60.0).latency)
    _, [firing] = evaluate(TaskTriggerState(), seen, NOON + HOUR, triggers)
    again = restore_state([(NOON + HOUR, to_event(firing))])
    again, firings = evaluate(again, seen, NOON + 2 * HOUR, triggers)
    assert firings == []
    again, firings = evaluate(
        again, replace(quality_at(1, 0.9), latency=latency_at(1, 40.0).latency), NOON + 3 * HOUR, triggers
    )
    assert firings == []
    _, [firing] = evaluate(
        again, replace(quality_at(2, 0.1), latency=latency_at(2, 60.0).latency), NOON + 4 * HOUR, triggers
    )
    assert (firing.trigger, list(firing.evidence["also"])) == ("quality", ["latency"])


def test_a_manual_run_starts_the_cool_down_and_answers_alerts() -> None:
    asked = RetrainingTriggered(task="ocr", run_id="1", trigger="manual", evidence={"actor": "ada"}, champion="1")
    state = restore_state([(NOON + HOUR, asked)])
    seen = Observation(alerts=[Alert("HindsightRetrain", NOON)], labelled=1000)
    triggers = VOLUME.model_copy(update={"alerts": ("HindsightRetrain",), "cooldown_seconds": 3600.0})
    assert evaluate(state, seen, NOON + 1.5 * HOUR, triggers)[1] == []
    _, [firing] = evaluate(state, seen, NOON + 2 * HOUR, triggers)
    assert (firing.trigger, "also" in firing.evidence) == ("volume", False)
