"""The rollout policy of a candidate that passed the gate: shadow, canary at growing shares, champion.

A stage is the share of the requests that the candidate answers: 0 as a shadow, 1 as the champion. Each step is decided
by its own evidence only, and by all of it. If steps of different shares were pooled, or if the arms covered different
times, a change of the traffic would look like a difference between the models (Simpson's paradox; Crook et al., "Seven
pitfalls to avoid when running controlled experiments on the web", KDD 2009).

A canary's share grows when the loss that it may still have, times the next share, is tolerable (Xu, Duan & Huang, "SQR:
Balancing speed, quality and risk in online experiments", KDD 2018). A small share needs little evidence to grow to
another small one; a champion needs all of it.
"""

from dataclasses import dataclass
from typing import Literal

from app.retraining.rollout.comparison import RolloutEvidence, sequential_harms, single_look_harms
from app.retraining.rollout.harm import Harm
from app.settings.rollout import RolloutSettings

SHADOW_SHARE, CHAMPION_SHARE = 0.0, 1.0


@dataclass(frozen=True)
class RolloutDecision:
    """The next action, and its reason."""

    action: Literal["stay", "advance", "roll back"]
    share: float
    """The share of the requests that the candidate answers from now on; 0 after a rollback."""
    reason: str
    """A sentence with the figures."""


def decide(current_share: float, observed: RolloutEvidence, plan: RolloutSettings) -> RolloutDecision:
    """Return whether to stay, advance or roll back. It may be called after every event.

    Rolls back at once if scores, errors or latency are significantly worse than tolerated. Advances if there is the
    minimum evidence and all three are shown to be within what is tolerated at the next share. A shadow must show all
    that a champion must: it harms nobody, and it answers the same requests, which takes the fewest labels.

    After the maximum time of a step, it depends on what is missing. Without enough answers it rolls back: a candidate
    that gets or answers too few requests blocks the next one. But a canary that is assigned by key advances, because a
    small share of the keys may have no traffic, and a larger one has more. Without certainty it advances, unless the
    scores indicate a loss by a test that needs fewer labels because it looks once. Labels are scarce in most
    deployments: a rollback would leave such a task with its first model forever, although the gate has found the
    candidate better on held-out outcomes, and a larger share brings labels to the same tests sooner.
    """
    harms = sequential_harms(observed, plan)
    if (harmful := _harm_reason(harms, observed, plan)) is not None:
        return RolloutDecision("roll back", SHADOW_SHARE, harmful)
    is_shadow, is_overdue = current_share == SHADOW_SHARE, observed.minutes >= plan.max_minutes
    next_share = next((share for share in plan.canary_shares if share > current_share), CHAMPION_SHARE)
    answers, min_answers = (
        observed.candidate.answers,
        plan.min_shadow_answers if is_shadow else plan.min_answers,
    )
    progress = f"{answers} answers in {round(observed.minutes, 1):g} minutes"
    if answers < min_answers and is_overdue:
        few = f"{progress}, of {min_answers} needed."
        if is_shadow or plan.assignment == "request":
            return RolloutDecision("roll back", SHADOW_SHARE, f"Too little evidence: {few}")
        return RolloutDecision("advance", next_share, f"Its keys have too little traffic: {few}")
    if answers < min_answers or observed.minutes < plan.min_minutes:
        return RolloutDecision(
            "stay", current_share, f"{progress}, of {min_answers} needed in at least {plan.min_minutes:g}."
        )
    return _weigh(current_share, next_share, harms, progress, is_overdue)


def _weigh(
    current_share: float, next_share: float, harms: list[Harm], progress: str, is_overdue: bool
) -> RolloutDecision:
    """Return whether to advance by enough answers of which none shows harm."""
    exposure = CHAMPION_SHARE if current_share == SHADOW_SHARE else next_share
    undecided = [harm for harm in harms if harm.may_exceed(exposure)]
    if not undecided:
        return RolloutDecision(
            "advance", next_share, f"No worse than the champion, by {progress}: {_describe(harms, exposure)}."
        )
    if is_overdue:
        return RolloutDecision(
            "advance", next_share, f"Not shown to be worse, by {progress}: {_describe(undecided, exposure)}."
        )
    return RolloutDecision("stay", current_share, f"{progress}; not settled yet: {_describe(undecided, exposure)}.")


def harm_reason(observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    """Return a sentence on what is significantly worse than tolerated; None if nothing is."""
    return _harm_reason(sequential_harms(observed, plan), observed, plan)


def _harm_reason(harms: list[Harm], observed: RolloutEvidence, plan: RolloutSettings) -> str | None:
    final = single_look_harms(observed, plan) if observed.minutes >= plan.max_minutes else ()
    significant = [harm for harm in (*harms, *final) if harm.is_shown]
    return f"Worse than the champion: {_describe(significant)}." if significant else None


def _describe(harms: list[Harm], exposure: float = CHAMPION_SHARE) -> str:
    return "; ".join(harm.describe(exposure) for harm in harms)
