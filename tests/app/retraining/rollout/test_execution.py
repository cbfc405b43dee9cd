"""A candidate's way to its users, as its route tells it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import call, create_autospec

import numpy as np
import pytest
from app.retraining.run_events import SOURCE

from app.events.base import EventData, ModelRef
from app.events.lifecycle import RetrainingTriggered, TaskFrozen
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.changes import RegistryWriter
from app.registry.registry import Registry, TaskModels
from app.registry.runs import Run
from app.retraining.rollout import execution as rollouts
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, Arm, RolloutDecision, RolloutEvidence
from app.settings.retraining import RetrainingSettings
from app.settings.rollout import RolloutSettings
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
"""A version that is none of the run's."""
FROZEN = TaskFrozen(task=TASK, frozen=True, reason="a holiday", actor="ada")
PLAN = RetrainingSettings(
    rollout=RolloutSettings(
        min_shadow_answers=10, min_answers=10, min_minutes=1, max_minutes=100, canary_shares=(0.25, 0.5)
    )
)


def shadowed(follows: str | None = None) -> RouteChanged:
    return change("shadow", follows, champion="1", shadows=("2",))


def change(action: str, follows: str | None, run_id: str | None = "r", actor: str = "us", **route: Any) -> RouteChanged:
    said = {"task": TASK, "action": action, "follows": follows, "reason": f"{action}!", "actor": actor}
    return RouteChanged.model_validate(said | {"run_id": run_id} | route)


def heard(*more: EventData) -> tuple[TaskModels, Run]:
    """The run once its candidate, version 2, is registered and this was said; each event a minute after the last.

    Their ids are numbers: of the first of `more` it is "2".
    """
    registry = Registry([Scales()])
    registry.apply(
        consumed_record(OTHER.to_record("lifecycle", b"", id="other", source="test", time=START.isoformat()))
    )
    for number, data in enumerate((TRIGGERED, REGISTERED, *more)):
        time = (START + timedelta(minutes=number)).isoformat()
        record = data.to_record("lifecycle", b"", id=str(number), source="test", time=time)
        assert registry.apply(consumed_record(record))
    models = registry.tasks[TASK]
    return models, models.runs["r"]


CANARY = (shadowed(), change("canary", "2", champion="1", canary="2", canary_share=0.25))
PROMOTED = (*CANARY, change("promote", "3", champion="2", replaced="1"))


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        ((), ("2", None, SHADOW_SHARE)),
        ((shadowed(),), ("2", "shadow", SHADOW_SHARE)),
        (CANARY, ("2", "canary", 0.25)),
        (PROMOTED, ("2", "champion", CHAMPION_SHARE)),
    ],
    ids=["registered", "shadow", "canary", "champion"],
)
def test_the_stage_is_what_the_route_has_of_the_candidate(
    said: Sequence[EventData], stage: tuple[str, Any, float]
) -> None:
    assert rollouts.candidate_stage(*heard(*said)) == stage


def test_another_versions_canary_is_no_stage_of_the_candidate() -> None:
    theirs = change("canary", None, run_id=None, champion="1", canary="3", canary_share=0.25)
    assert rollouts.candidate_stage(*heard(theirs)) == ("2", None, SHADOW_SHARE)


@pytest.mark.parametrize("said", [(), (shadowed(),), CANARY], ids=["registered", "shadow", "canary"])
def test_a_rollout_goes_on_until_its_candidate_is_the_champion_or_has_no_role(said: Sequence[EventData]) -> None:
    assert rollouts.rollout_outcome(*heard(*said)) is None


def test_a_candidate_that_is_the_champion_was_promoted() -> None:
    assert rollouts.rollout_outcome(*heard(*PROMOTED)) == ("promoted", "promote!")


def test_a_candidate_that_people_promoted_was_promoted_too() -> None:
    theirs = change("promote", "2", run_id=None, champion="2", replaced="1")
    assert rollouts.rollout_outcome(*heard(shadowed(), theirs)) == ("promoted", "promote!")


@pytest.mark.parametrize("run_id", ["r", None], ids=["by the run", "by people"])
def test_a_candidate_whose_role_was_taken_away_was_rolled_back_by_whom(run_id: str | None) -> None:
    back = change("rollback", "3", run_id, actor="ada", champion="1")
    assert rollouts.rollout_outcome(*heard(*CANARY, back)) == ("rolled_back", "rollback! (ada)")


def test_a_candidate_in_whose_place_another_one_was_promoted_was_rolled_back() -> None:
    other = change("promote", "3", None, actor="ada", champion="3", replaced="1")
    assert rollouts.rollout_outcome(*heard(*CANARY, other)) == ("rolled_back", "promote! (ada)")


def test_what_happens_after_a_candidate_has_lost_its_role_is_not_why() -> None:
    back = change("rollback", "3", None, actor="ada", champion="1")
    later = change("shadow", "4", None, actor="bob", champion="1", shadows=("3",))
    assert rollouts.rollout_outcome(*heard(*CANARY, back, later)) == ("rolled_back", "rollback! (ada)")


# Since when


def minutes_since(*said: EventData) -> float:
    models, _ = heard(*said)
    return (rollouts.stage_started(models, "2") - START).total_seconds() / 60


def test_a_step_lasts_since_the_change_that_began_it() -> None:
    assert minutes_since(shadowed()) == 2
    assert minutes_since(*CANARY) == 3


def test_a_step_that_people_began_lasts_since_then() -> None:
    theirs = change("shadow", None, run_id=None, champion="1", shadows=("2",))
    assert minutes_since(theirs) == 2


def test_a_step_begins_anew_when_people_change_the_candidates_share() -> None:
    """What was seen at another share is no evidence of this one's."""
    theirs = change("canary", "3", run_id=None, champion="1", canary="2", canary_share=0.5)
    assert minutes_since(*CANARY, theirs) == 4


def test_a_step_begins_anew_when_the_candidate_is_held_against_another_champion() -> None:
    theirs = change("promote", "2", run_id=None, champion="3", replaced="1", shadows=("2",))
    assert minutes_since(shadowed(), theirs) == 3


def test_a_step_goes_on_when_people_try_another_version_beside_it() -> None:
    theirs = change("shadow", "3", run_id=None, champion="1", canary="2", canary_share=0.25, shadows=("3",))
    assert minutes_since(*CANARY, theirs) == 3


# What is done now


def observed(score: float, minutes: float = 10.0) -> RolloutEvidence:
    """A candidate that scores so much beside a champion that scores 0.75."""

    def arm(mean: float) -> Arm:
        return Arm(5000, 0, np.full(5000, mean), np.full(5000, 10.0))

    return RolloutEvidence(arm(score), arm(0.75), minutes)


def test_a_candidate_that_is_well_advances_to_the_next_share() -> None:
    assert rollouts.decide_step(*heard(*CANARY), observed(0.75), PLAN).action == "advance"
    assert rollouts.decide_step(*heard(*CANARY), observed(0.75), PLAN).share == 0.5


def test_while_the_task_is_frozen_a_candidate_that_is_well_stays_where_it_is() -> None:
    decision = rollouts.decide_step(*heard(*CANARY, FROZEN), observed(0.75), PLAN)
    assert (decision.action, decision.share) == ("stay", 0.25)
    assert decision.reason.endswith("But the task is frozen.")


def test_while_the_task_is_frozen_a_candidate_that_is_worse_is_rolled_back() -> None:
    assert rollouts.decide_step(*heard(*CANARY, FROZEN), observed(0.25), PLAN).action == "roll back"


def test_once_the_task_is_no_longer_frozen_the_candidate_advances() -> None:
    thawed = FROZEN.model_copy(update={"frozen": False})
    assert rollouts.decide_step(*heard(*CANARY, FROZEN, thawed), observed(0.75), PLAN).action == "advance"


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
async def test_what_is_decided_is_done_to_the_route(decision: RolloutDecision, calls: list[Any]) -> None:
    changes = create_autospec(RegistryWriter, instance=True)
    await rollouts.apply_decision(changes, *heard(*CANARY), decision)
    assert changes.mock_calls == calls
