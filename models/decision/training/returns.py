"""From rewards to returns: each decision's reward with the discounted rewards after it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.decision.training.history import decayed
from models.decision.training.log_reader import DecisionBatch, Log, grouped, total
from models.decision.training.network import Network, Scale, scores
from models.decision.training.policy_gradient import policy_of
from models.decision.training.trajectories import Trajectory, is_whole
from models.episodic_off_policy import Episodes, ReturnModel
from models.off_policy import Floats


@dataclass(frozen=True)
class TrajectoryBatch:
    """Trajectories as arrays: their decisions with the rewards as logged, and which belong together."""

    log: Log
    episodes: Episodes
    whole: NDArray[np.bool_]
    """Which trajectories are whole episodes with rewards, (E,)."""

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> "TrajectoryBatch":
        """Stack trajectories."""
        log = grouped(decision for trajectory in trajectories for decision in trajectory)
        return cls(
            log,
            Episodes.of([len(trajectory) for trajectory in trajectories]),
            np.array([is_whole(trajectory) for trajectory in trajectories], bool),
        )

    def decayed(self, half_life: float) -> "TrajectoryBatch":
        """Return the trajectories with weights by age, of this half-life in decisions."""
        return replace(self, log=decayed(self.log, half_life))

    @property
    def in_steps(self) -> bool:
        """Whether any decision follows another."""
        return bool(self.episodes.lengths.max(initial=0) > 1)

    def returns(self, gamma: float, network: Network | None) -> Log:
        """Return the log with returns for rewards: as earned, or as the network's policy would have gone on."""
        if not self.in_steps:
            return self.log
        model = None if network is None else model_of(network, self.log)
        rewards = flat(self.log, [group.reward for group in self.log])
        return with_returns(self.log, self.episodes.returns(rewards, gamma, model))

    def figures(self, network: Network, gamma: float) -> dict[str, Any]:
        """Return what the network's policy would have earned in whole episodes, in discounted sums of rewards.

        As good as `effective_episodes` are many: the weight of an episode is a product over all of its steps.
        """
        of_whole = self.whole[self.episodes.number]
        if not of_whole.any():
            return {}
        episodes = Episodes(self.episodes.lengths[self.whole])
        rewards = flat(self.log, [group.reward for group in self.log])[of_whole]
        every = model_of(network, self.log)
        model = ReturnModel(every.weights[of_whole], every.predicted[of_whole], every.values[of_whole])
        estimates = {
            "logged": episodes.on_policy(rewards, gamma),
            "weighted_per_decision": episodes.weighted_per_decision(rewards, model.weights, gamma),
            "doubly_robust": episodes.doubly_robust(rewards, model, gamma),
        }
        figures: dict[str, Any] = {"episodes": len(episodes.lengths)}
        for name, estimate in estimates.items():
            figures[name] = [round(number, 5) for number in (estimate.value, *estimate.interval())]
        figures["effective_episodes"] = round(episodes.effective_size(model.weights), 1)
        return figures


def with_returns(log: Log, returns: Floats) -> Log:
    """Return the log with returns (N,) for rewards."""
    return [replace(group, reward=returns[group.place].astype(np.float32)) for group in log]


def standardised(log: Log, scale: Scale) -> Log:
    """Return the log standardised, as networks take it."""
    return [replace(group, context=scale.context(group.context), actions=scale.actions(group.actions)) for group in log]


def model_of(network: Network, log: Log) -> ReturnModel:
    """Return the policy's importance weights and expected returns, in the log's rewards."""
    standard = standardised(log, network.scale)
    low, high = network.reward_range
    columns: list[list[NDArray[Any]]] = [[], [], []]
    for group, policy in zip(standard, policy_of(network.policy, standard), strict=True):
        chosen = (np.arange(len(group)), group.chosen)
        expected = low + (high - low) * _sigmoid(network, group)
        for column, values in zip(
            columns, (policy[chosen] / group.propensity, expected[chosen], (policy * expected).sum(1)), strict=True
        ):
            column.append(values)
    return ReturnModel(*(flat(log, column) for column in columns))


def _sigmoid(network: Network, group: DecisionBatch) -> NDArray[np.float64]:
    logits = np.asarray(scores(network.rewards, group.context, group.actions), np.float64) / network.temperature
    shares: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return shares


def flat(log: Log, columns: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Merge a column of each group into one of all decisions, in their order, (N,)."""
    flattened = np.zeros(total(log))
    for group, values in zip(log, columns, strict=True):
        flattened[group.place] = values
    return flattened
