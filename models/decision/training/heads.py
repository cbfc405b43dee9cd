"""What exploration needs of a fitted network: gamma for SquareCB, heads for a bootstrap.

`squarecb`: gamma = scale sqrt(n) for n decisions, the schedule of theorem 1 of Foster & Rakhlin ("Beyond UCB", ICML
2020) for a model whose errors shrink as 1 / n, with the constant that Vowpal Wabbit takes. With decayed weights n is
the effective number of decisions (Kish): where history counts less, exploration grows again.

`bootstrap`: each head is a reward model of a bootstrap sample, in which a decision counts Poisson(1) times (Oza &
Russell, "Online bagging and boosting", AISTATS 2001).
"""

from dataclasses import replace

import numpy as np

from models.decision.exploration import Exploration
from models.decision.training.log_reader import Log
from models.decision.training.network import Network, Parameters
from models.decision.training.policy_gradient import OnStep, PolicyFittingPlan, fit_reward_models

GAMMA_SCALE = 10.0
HEADS = 10


def effective_count(log: Log) -> float:
    """Return how many decisions of weight 1 say as much: (sum of weights)^2 / sum of squares."""
    weights = np.concatenate([group.weight.ravel() for group in log]).astype(np.float64)
    return float(weights.sum() ** 2 / np.square(weights).sum())


def for_exploration(
    network: Network,
    start: Parameters,
    log: Log,
    exploration: Exploration,
    plan: PolicyFittingPlan,
    seed: int,
    on_step: OnStep,
) -> Network:
    """Return the network with what the exploration needs, from a standardised log."""
    if exploration.kind == "squarecb":
        return replace(network, gamma=GAMMA_SCALE * effective_count(log) ** 0.5)
    if exploration.kind == "bootstrap":
        rng = np.random.default_rng((seed, HEADS))
        sampled = [
            replace(group, weight=group.weight.reshape(-1, 1) * rng.poisson(1, (len(group), HEADS)).astype(np.float32))
            for group in log
        ]
        return replace(network, heads=fit_reward_models(start, sampled, plan, seed, on_step))
    return network
