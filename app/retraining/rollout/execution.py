"""Execution of a rollout: apply the decisions of `policy.decide` to the route."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, takewhile

from app.errors import SetupError
from app.events.types import Role
from app.registry.changes import RegistryWriter
from app.registry.registry import TaskModels
from app.registry.routes import Route
from app.registry.runs import Run
from app.retraining.rollout import policy
from app.retraining.rollout.comparison import RolloutEvidence
from app.retraining.rollout.policy import CHAMPION_SHARE, SHADOW_SHARE, RolloutDecision
from app.retraining.run_events import SOURCE
from app.settings.retraining import RetrainingSettings


def contenders(models: TaskModels, run: Run) -> tuple[str, ...]:
    """Return the run's versions that may become the champion: those with a role, and those that had none yet."""
    had_role = {version for change in models.changes for version in change.route.versions}
    return tuple(
        version for version in run.versions if models.route.role(version) is not None or version not in had_role
    )


def candidate_stage(models: TaskModels, run: Run) -> tuple[str, Role | None, float]:
    """Return the first version of a run that is left, its role in the route, and the share of requests it answers."""
    version, *_ = contenders(models, run) or run.versions
    route = models.route
    role = route.role(version)
    return version, role, {"champion": CHAMPION_SHARE, "canary": route.canary_share}.get(role or "", SHADOW_SHARE)


def rollout_outcome(models: TaskModels, run: Run) -> tuple[str, str] | None:
    """Return the outcome and the reason of a rollout that has ended; None if it continues."""
    if models.route.champion in run.versions:
        return "promoted", models.changes[-1].event.reason
    if not contenders(models, run):
        *_, removal = (
            after
            for before, after in pairwise(models.changes)
            if any(before.route.role(version) and not after.route.role(version) for version in run.versions)
        )
        return "rolled_back", f"{removal.event.reason} ({removal.event.actor})"
    return None


def decide_step(models: TaskModels, run: Run, observed: RolloutEvidence, plan: RetrainingSettings) -> RolloutDecision:
    """Return the decision for now. While the task is frozen, nothing advances.

    A shadow that was the best of several is judged by the scores that made it the best. These seem too good, so that
    all of the run's versions share the error of its intervals (Bonferroni).
    """
    _, _, stage = candidate_stage(models, run)
    rollout = plan.rollout
    if stage == SHADOW_SHARE:
        rollout = rollout.model_copy(update={"alpha": rollout.alpha / len(run.versions)})
    decision = policy.decide(stage, observed, rollout)
    if decision.action == "advance" and models.frozen is not None:
        return replace(decision, action="stay", share=stage, reason=f"{decision.reason} But the task is frozen.")
    return decision


async def apply_decision(changes: RegistryWriter, models: TaskModels, run: Run, decision: RolloutDecision) -> None:
    """Change the route according to a decision."""
    version, _, _ = candidate_stage(models, run)
    if decision.action == "roll back":
        await changes.roll_back(version, decision.reason, SOURCE)
    elif decision.action == "advance" and decision.share == CHAMPION_SHARE:
        await changes.promote(version, decision.reason, SOURCE)
    elif decision.action == "advance":
        await changes.canary(version, decision.share, decision.reason, SOURCE)


def stage_started(models: TaskModels, version: str) -> datetime:
    """Return since when a version has its role and share beside the current champion.

    The task's route must have been changed at least once.
    """

    def stage(route: Route) -> tuple[str, Role | None, float]:
        role = route.role(version)
        return route.champion, role, route.canary_share if role == "canary" else SHADOW_SHARE

    current = stage(models.route)
    same = takewhile(lambda change: stage(change.route) == current, reversed(models.changes))
    return list(same)[-1].time.astimezone(UTC)


def shadows_started(models: TaskModels, versions: Sequence[str]) -> datetime:
    """Return since when all of these versions have been shadows beside the current champion. Raises `SetupError`."""
    others = [version for version in versions if models.route.role(version) != "shadow"]
    if others or not versions:
        missing = f"Version {', '.join(others)} of {models.task} is not a shadow." if others else "There is no shadow."
        raise SetupError(missing, f"Start one: `hindsight models shadow {models.task} VERSION`.")
    return max(stage_started(models, version) for version in versions)
