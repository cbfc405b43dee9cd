"""Off-policy values of versions by decisions in episodes: what an episode of each version would have earned.

The estimates are those of `models.episodic_off_policy`, over whole episodes. The return model of the doubly robust one
is fitted anew to this log for each version's policy, by fitted Q evaluation (Le, Voloshin & Yue, ICML 2019) on returns
that are corrected off policy (Retrace, Munos et al., NeurIPS 2016), and cross-fitted: each half of the entities is
valued by a model of the other half (Chernozhukov et al., 2018).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from numpy.typing import NDArray

from models.base import OnStep, Untrainable
from models.decision.served_policy import of_chosen, served_policies
from models.decision.task import Decision
from models.decision.train import PLAN
from models.decision.training.log_reader import Log, LoggedDecision
from models.decision.training.network import Network, initial, scores
from models.decision.training.policy_gradient import fit_rewards
from models.decision.training.policy_iteration import initial_logit, reward_range, scaled
from models.decision.training.returns import TrajectoryBatch, flat, standardised, with_returns
from models.decision.training.trajectories import is_whole, trajectories_of
from models.episodic_off_policy import ReturnModel
from models.off_policy import Floats, Places
from models.policy_value import PolicyValue, cluster_numbers, policy_value

MIN_EPISODES = 30
_ROUNDS = 3
"""How often the return model is fitted, each time to returns that the model before has corrected."""
_MAX_LEFT_OUT = 0.1


def value_episodes(
    task: Decision, networks: Sequence[Network], logged: Sequence[LoggedDecision], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Return each version's value, with the task's exploration, in discounted rewards of an episode.

    Raises `Untrainable` for fewer than 30 episodes of which every reward is known.
    """
    trajectories = [found for found in trajectories_of(logged).trajectories if is_whole(found)]
    if len(trajectories) < MIN_EPISODES:
        raise Untrainable(
            f"{len(trajectories)} episodes have all their rewards, at least {MIN_EPISODES} are needed."
            " Replay a longer time; `reward_window_seconds` says when a missing reward is none."
        )
    batch = TrajectoryBatch.of(trajectories)
    clusters = cluster_numbers([trajectory[0].entity for trajectory in trajectories])
    ids = [trajectory[0].prediction_id for trajectory in trajectories]
    left_out = 1 - len(batch.episodes.number) / len(logged)
    return [_value(task, network, batch, clusters, ids, left_out, seed, on_step) for network in networks]


def _value(
    task: Decision,
    network: Network,
    batch: TrajectoryBatch,
    clusters: Places,
    ids: Sequence[str],
    left_out: float,
    seed: int,
    on_step: OnStep,
) -> PolicyValue:
    log, episodes = batch.log, batch.episodes
    rewards, propensities = (flat(log, [getattr(group, name) for group in log]) for name in ("reward", "propensity"))
    policies = served_policies(task, network, log)
    weights = of_chosen(log, policies) / propensities
    model = _cross_fitted(network, batch, policies, weights, clusters, task.gamma, seed, on_step)
    estimates = {
        "ips": episodes.per_decision(rewards, weights, task.gamma),
        "snips": episodes.weighted_per_decision(rewards, weights, task.gamma),
        "dr": episodes.doubly_robust(rewards, model, task.gamma),
    }
    logged = episodes.on_policy(rewards, task.gamma)
    whole = episodes.products(weights)[episodes.last]
    value = policy_value(logged, estimates, whole, logged.value + logged.influence, clusters, ids, "episode")
    if left_out <= _MAX_LEFT_OUT:
        return value
    return replace(
        value, doubts=(*value.doubts, f"{left_out:.0%} of the decisions are in episodes with an unknown reward.")
    )


def _cross_fitted(
    network: Network,
    batch: TrajectoryBatch,
    policies: Sequence[NDArray[np.float64]],
    weights: Floats,
    clusters: Places,
    gamma: float,
    seed: int,
    on_step: OnStep,
) -> ReturnModel:
    """Return the weights with the returns that are expected of the policy, each by a model of the other half."""
    low, high = reward_range(with_returns(batch.log, batch.episodes.returns(_rewards(batch.log), gamma)), None)
    halves = clusters[batch.episodes.number] % 2
    parts = [
        _fitted(network, batch, policies, weights, halves != half, (low, high), gamma, seed, on_step) for half in (0, 1)
    ]
    first, second = parts
    return ReturnModel(
        weights,
        np.where(halves == 0, first.predicted, second.predicted),
        np.where(halves == 0, first.values, second.values),
    )


def _fitted(
    network: Network,
    batch: TrajectoryBatch,
    policies: Sequence[NDArray[np.float64]],
    weights: Floats,
    fitted: NDArray[np.bool_],
    bounds: tuple[float, float],
    gamma: float,
    seed: int,
    on_step: OnStep,
) -> ReturnModel:
    """Return what is expected at all steps, by a model of the steps that are `fitted`, (N,)."""
    low, high = bounds
    standard, rewards, model, parameters = standardised(batch.log, network.scale), _rewards(batch.log), None, None
    for number in range(_ROUNDS):
        returns = with_returns(standard, batch.episodes.returns(rewards, gamma, model))
        groups = [group.take(np.flatnonzero(fitted[group.place])) for group in scaled(returns, low, high)]
        groups = [group for group in groups if len(group)]
        if parameters is None:
            columns, width = standard[0].context.shape[1], standard[0].actions.shape[2]
            parameters = initial(columns, width, np.random.default_rng(seed), initial_logit(groups))
        doing = f"fitting the return model, round {number + 1}"
        parameters = fit_rewards(parameters, groups, PLAN, seed, partial(on_step, doing))
        expected = [
            low
            + (high - low) * np.asarray(jax.nn.sigmoid(scores(parameters, group.context, group.actions)), np.float64)
            for group in standard
        ]
        values = [(policy * of_group).sum(1) for policy, of_group in zip(policies, expected, strict=True)]
        model = ReturnModel(weights, of_chosen(batch.log, expected), flat(batch.log, values))
    assert model is not None
    return model


def _rewards(log: Log) -> Floats:
    return flat(log, [group.reward for group in log])
