"""The rollout of a candidate, from its route."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import call, create_autospec

import numpy as np
import pytest

from app.errors import SetupError
from app.events.base import EventData, ModelRef
from app.events.lifecycle import RetrainingTriggered, TaskFrozen
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.changes import RegistryWriter
from app.registry.registry import Registry, TaskModels
from app.registry.runs import Run
from app.retraining.rollout import execution as rollouts
from app.retraining.rollout.comparison import Arm, RolloutEvidence
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, RolloutDecision
from app.retraining.run_events import SOURCE
from app.settings.retraining import RetrainingSettings
from app.settings.rollout import RolloutSettings
from app.statistics.clusters import ClusterSums
from app.statistics.histogram import Histogram
from tests.support.record_strategies import START, consumed_record
from tests.support.scales import Scales

TASK = "scales"
TRIGGERED = RetrainingTriggered(task=TASK, run_id="r", trigger="manual", evidence={}, champion="1")
REGISTERED = ModelRegistered(
    task=TASK,
    model=ModelRef(name=TASK, version="2"),
    artifact="blob://x",
    card={},
    run_id="r",
    preprocess_version="1",
)
OTHER = REGISTERED.model_copy(update={"model": ModelRef(name=TASK, version="3"), "run_id": None})
"""A version that is not the run's."""
FROZEN = TaskFrozen(task=TASK, frozen=True, reason="a holiday", actor="ada")
PLAN = RetrainingSettings(
    rollout=RolloutSettings(
        min_shadow_answers=10, min_answers=10, min_minutes=1, max_minutes=100, canary_shares=(0.25, 0.5)
    )
)


def shadow_change(follows: str | None = None) -> RouteChanged:
    return route_change("shadow", follows, champion="1", shadows=("2",))


def route_change(
    action: str, follows: str | None, run_id: str | None = "r", actor: str = "us", **route: Any
) -> RouteChanged:
    said = {"task": TASK, "action": action, "follows": follows, "reason": f"{action}!", "actor": actor}
    return RouteChanged.model_validate(said | {"run_id": run_id} | route)


def read_run(*more: EventData) -> tuple[TaskModels, Run]:
    """Return the run after the registration of version 2 and these events, each a minute after the last.

    Their ids are numbers: of the first of `more` it is "2".
    """
    return read_events(TRIGGERED, REGISTERED, *more, other=OTHER)


def read_events(*events: EventData, other: EventData | None = None) -> tuple[TaskModels, Run]:
    """Return the run after these events, the first at the start; `other` came before them."""
    registry = Registry([Scales()])
    if other is not None:
        record = other.to_record("lifecycle", b"", id="other", source="test", time=START.isoformat())
        registry.apply(consumed_record(record))
    for number, data in enumerate(events):
        time = (START + timedelta(minutes=number)).isoformat()
        record = data.to_record("lifecycle", b"", id=str(number), source="test", time=time)
        assert registry.apply(consumed_record(record))
    models = registry.tasks[TASK]
    return models, models.runs["r"]


CANARY = (shadow_change(), route_change("canary", "2", champion="1", canary="2", canary_share=0.25))
PROMOTED = (*CANARY, route_change("promote", "3", champion="2", replaced="1"))


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        ((), ("2", None, SHADOW_SHARE)),
        ((shadow_change(),), ("2", "shadow", SHADOW_SHARE)),
        (CANARY, ("2", "canary", 0.25)),
        (PROMOTED, ("2", "champion", CHAMPION_SHARE)),
    ],
    ids=["registered", "shadow", "canary", "champion"],
)
def test_the_stage_is_the_candidates_place_in_the_route(
    said: Sequence[EventData], stage: tuple[str, Any, float]
) -> None:
    assert rollouts.candidate_stage(*read_run(*said)) == stage


def test_another_versions_canary_does_not_set_the_candidates_stage() -> None:
    theirs = route_change("canary", None, run_id=None, champion="1", canary="3", canary_share=0.25)
    assert rollouts.candidate_stage(*read_run(theirs)) == ("2", None, SHADOW_SHARE)


@pytest.mark.parametrize("said", [(), (shadow_change(),), CANARY], ids=["registered", "shadow", "canary"])
def test_a_rollout_goes_on_until_its_candidate_is_the_champion_or_has_no_role(said: Sequence[EventData]) -> None:
    assert rollouts.rollout_outcome(*read_run(*said)) is None


def test_a_candidate_that_is_the_champion_was_promoted() -> None:
    assert rollouts.rollout_outcome(*read_run(*PROMOTED)) == ("promoted", "promote!")


def test_a_candidate_that_is_promoted_by_hand_ends_the_rollout() -> None:
    theirs = route_change("promote", "2", run_id=None, champion="2", replaced="1")
    assert rollouts.rollout_outcome(*read_run(shadow_change(), theirs)) == ("promoted", "promote!")


@pytest.mark.parametrize("run_id", ["r", None], ids=["by the run", "by people"])
def test_the_outcome_names_the_actor_that_rolled_the_candidate_back(run_id: str | None) -> None:
    back = route_change("rollback", "3", run_id, actor="ada", champion="1")
    assert rollouts.rollout_outcome(*read_run(*CANARY, back)) == ("rolled_back", "rollback! (ada)")


def test_a_candidate_counts_as_rolled_back_when_another_version_is_promoted() -> None:
    other = route_change("promote", "3", None, actor="ada", champion="3", replaced="1")
    assert rollouts.rollout_outcome(*read_run(*CANARY, other)) == ("rolled_back", "promote! (ada)")


def test_the_reason_of_a_rollback_is_the_change_that_removed_the_role() -> None:
    back = route_change("rollback", "3", None, actor="ada", champion="1")
    later = route_change("shadow", "4", None, actor="bob", champion="1", shadows=("3",))
    assert rollouts.rollout_outcome(*read_run(*CANARY, back, later)) == ("rolled_back", "rollback! (ada)")


# Several candidates

TWO = TRIGGERED.model_copy(update={"candidates": 2})
SECOND = OTHER.model_copy(update={"run_id": "r", "candidate": "r.2", "artifact": "blob://y"})


def read_both(*more: EventData) -> tuple[TaskModels, Run]:
    """Return a run with the versions 2 and 3 after these events; the id of the first of them is "3"."""
    return read_events(TWO, REGISTERED, SECOND, *more)


SHADOWS = (shadow_change(), route_change("shadow", "3", champion="1", shadows=("2", "3")))
WITHOUT_2 = route_change("rollback", "4", champion="1", shadows=("3",))
WITHOUT_3 = route_change("rollback", "4", champion="1", shadows=("2",))


def test_all_versions_of_a_run_contend_until_they_lose_their_role() -> None:
    assert rollouts.contenders(*read_both()) == ("2", "3")
    assert rollouts.contenders(*read_both(*SHADOWS[:1])) == ("2", "3")
    assert rollouts.contenders(*read_both(*SHADOWS)) == ("2", "3")
    assert rollouts.contenders(*read_both(*SHADOWS, WITHOUT_2)) == ("3",)
    assert rollouts.candidate_stage(*read_both(*SHADOWS, WITHOUT_2)) == ("3", "shadow", SHADOW_SHARE)


def test_a_rollout_ends_once_no_version_contends_or_one_is_the_champion() -> None:
    none = route_change("rollback", "5", champion="1", actor="ada")
    promoted = route_change("promote", "5", champion="3", replaced="1")
    assert rollouts.rollout_outcome(*read_both(*SHADOWS, WITHOUT_2)) is None
    assert rollouts.rollout_outcome(*read_both(*SHADOWS, WITHOUT_2, none)) == ("rolled_back", "rollback! (ada)")
    assert rollouts.rollout_outcome(*read_both(*SHADOWS, WITHOUT_2, promoted)) == ("promoted", "promote!")


def test_the_best_of_several_shadows_needs_more_evidence_than_the_only_one() -> None:
    losses = np.resize([0.1, -0.1], 600)
    observed = replace(make_evidence(0.75), losses=losses)
    alone = rollouts.decide_step(*read_run(shadow_change()), observed, PLAN)
    best = rollouts.decide_step(*read_both(*SHADOWS, WITHOUT_3), observed, PLAN)
    assert (alone.action, best.action) == ("stay", "stay")
    narrow, wide = (float(re.findall(r"falls by (-?[0-9.]+)", step.reason)[0]) for step in (alone, best))
    assert wide < narrow


# Since when


def minutes_since(*said: EventData) -> float:
    models, _ = read_run(*said)
    return (rollouts.stage_started(models, "2") - START).total_seconds() / 60


def test_a_step_starts_with_its_route_change() -> None:
    assert minutes_since(shadow_change()) == 2
    assert minutes_since(*CANARY) == 3


def test_a_step_that_was_started_by_hand_starts_then() -> None:
    theirs = route_change("shadow", None, run_id=None, champion="1", shadows=("2",))
    assert minutes_since(theirs) == 2


def test_a_step_restarts_when_the_candidates_share_is_changed_by_hand() -> None:
    """Evidence at another share does not count."""
    theirs = route_change("canary", "3", run_id=None, champion="1", canary="2", canary_share=0.5)
    assert minutes_since(*CANARY, theirs) == 4


def test_a_step_restarts_when_the_champion_changes() -> None:
    theirs = route_change("promote", "2", run_id=None, champion="3", replaced="1", shadows=("2",))
    assert minutes_since(shadow_change(), theirs) == 3


def test_a_step_continues_when_another_shadow_is_added() -> None:
    theirs = route_change("shadow", "3", run_id=None, champion="1", canary="2", canary_share=0.25, shadows=("3",))
    assert minutes_since(*CANARY, theirs) == 3


def test_shadows_are_compared_since_the_last_of_them_started() -> None:
    second = route_change("shadow", "2", run_id=None, champion="1", shadows=("2", "3"))
    models, _ = read_run(shadow_change(), second)
    assert rollouts.shadows_started(models, ("2",)) == START + timedelta(minutes=2)
    assert rollouts.shadows_started(models, ("2", "3")) == START + timedelta(minutes=3)


@pytest.mark.parametrize("versions", [(), ("2", "1"), ("3",)])
def test_only_shadows_are_compared(versions: tuple[str, ...]) -> None:
    models, _ = read_run(shadow_change())
    with pytest.raises(SetupError):
        rollouts.shadows_started(models, versions)


# What is done now


def make_evidence(score: float, minutes: float = 10.0) -> RolloutEvidence:
    """Return evidence of a candidate with this score beside a champion with 0.75."""

    def arm(mean: float) -> Arm:
        scores = ClusterSums.of([(str(key), 100, 100 * mean, 100 * mean**2) for key in range(50)])
        return Arm(5000, 0, scores, Histogram(np.array([10.0]), np.array([5000.0])))

    return RolloutEvidence(arm(score), arm(0.75), minutes)


def test_a_good_candidate_advances_to_the_next_share() -> None:
    assert rollouts.decide_step(*read_run(*CANARY), make_evidence(0.75), PLAN).action == "advance"
    assert rollouts.decide_step(*read_run(*CANARY), make_evidence(0.75), PLAN).share == 0.5


def test_a_good_candidate_stays_while_the_task_is_frozen() -> None:
    decision = rollouts.decide_step(*read_run(*CANARY, FROZEN), make_evidence(0.75), PLAN)
    assert (decision.action, decision.share) == ("stay", 0.25)
    assert decision.reason.endswith("But the task is frozen.")


def test_a_worse_candidate_is_rolled_back_even_while_the_task_is_frozen() -> None:
    assert rollouts.decide_step(*read_run(*CANARY, FROZEN), make_evidence(0.25), PLAN).action == "roll back"


def test_the_candidate_advances_after_the_task_is_unfrozen() -> None:
    thawed = FROZEN.model_copy(update={"frozen": False})
    assert rollouts.decide_step(*read_run(*CANARY, FROZEN, thawed), make_evidence(0.75), PLAN).action == "advance"


@pytest.mark.parametrize(
    ("decision", "calls"),
    [
        (RolloutDecision("stay", 0.25, "why"), []),
        (RolloutDecision("advance", 0.5, "why"), [call.canary("2", 0.5, "why", SOURCE)]),
        (RolloutDecision("advance", CHAMPION_SHARE, "why"), [call.promote("2", "why", SOURCE)]),
        (RolloutDecision("roll back", SHADOW_SHARE, "why"), [call.roll_back("2", "why", SOURCE)]),
    ],
    ids=["stay", "grow", "promote", "roll back"],
)
async def test_a_decision_changes_the_route(decision: RolloutDecision, calls: list[Any]) -> None:
    changes = create_autospec(RegistryWriter, instance=True)
    await rollouts.apply_decision(changes, *read_run(*CANARY), decision)
    assert changes.mock_calls == calls
