"""A candidate's way from the registry to its users: what `rollout.decide` says is done to the route."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, takewhile

from app.events.types import Role
from app.registry.changes import Changes
from app.registry.registry import Models
from app.registry.routes import Route
from app.registry.runs import Run
from app.retraining.pipeline.run_directory import SOURCE
from app.retraining.rollout import policy
from app.retraining.rollout.policy import CHAMPION, SHADOW, Decision, Observed
from app.settings.retraining import Retraining


def stage_of(models: Models, run: Run) -> tuple[str, Role | None, float]:
    """A run's version, its role by the route of now, and the share of requests that it answers."""
    assert run.registered is not None
    version, route = run.registered.model.version, models.route
    role = route.role(version)
    return version, role, {"champion": CHAMPION, "canary": route.share}.get(role or "", SHADOW)


def ended(models: Models, run: Run) -> tuple[str, str] | None:
    """The outcome of a rollout that is over, and why; None of one that goes on."""
    version, role, _ = stage_of(models, run)
    if role == "champion":
        return "promoted", models.changes[-1].said.reason
    if role is None and run.routes:
        *_, (_, lost) = (
            both for both in pairwise(models.changes) if both[0].route.role(version) and not both[1].route.role(version)
        )
        return "rolled_back", f"{lost.said.reason} ({lost.said.actor})"
    return None


def decided(models: Models, run: Run, observed: Observed, plan: Retraining) -> Decision:
    """What is to be done now. While the task is frozen nothing advances."""
    _, _, stage = stage_of(models, run)
    decision = policy.decide(stage, observed, plan.rollout)
    if decision.action == "advance" and models.frozen is not None:
        return replace(decision, action="stay", share=stage, reason=f"{decision.reason} But the task is frozen.")
    return decision


async def do(changes: Changes, models: Models, run: Run, decision: Decision) -> None:
    """Change the route as decided."""
    version, _, _ = stage_of(models, run)
    if decision.action == "roll back":
        await changes.roll_back(version, decision.reason, SOURCE)
    elif decision.action == "advance" and decision.stage == CHAMPION:
        await changes.promote(version, decision.reason, SOURCE)
    elif decision.action == "advance":
        await changes.canary(version, decision.stage, decision.reason, SOURCE)


def since(models: Models, version: str) -> datetime:
    """Since when a version has its role and its share beside the champion of now, whoever gave them.

    The task's route must have been changed once.
    """

    def place(route: Route) -> tuple[str, Role | None, float]:
        role = route.role(version)
        return route.champion, role, route.share if role == "canary" else SHADOW

    now = place(models.route)
    same = takewhile(lambda change: place(change.route) == now, reversed(models.changes))
    return list(same)[-1].time.astimezone(UTC)
