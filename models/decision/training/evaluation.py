"""What a network's policy would have earned on logged decisions, and how well it is calibrated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import off_policy
from models.decision.training.log_reader import Log
from models.decision.training.network import Network, scores
from models.decision.training.policy_gradient import policy_of
from models.decision.training.returns import standardised
from models.nn.calibration import expected_calibration_error

Floats = NDArray[np.floating[Any]]


def evaluated(network: Network, log: Log) -> dict[str, Any]:
    """Return what the network's policy would have earned on logged decisions, with rewards in [0, 1] of their range.

    `corrected_right` is the share of corrections that name what it holds to be best.
    """
    figures: dict[str, Any] = {}
    if len(hits := _hits(network, log)):
        figures["corrected_right"] = round(float(hits.mean()), 5)
    rows = rewarded(network, log)
    if rows is None:
        return figures
    estimates = {
        "logged": off_policy.on_policy(rows.reward),
        "snips": off_policy.snips(rows.reward, rows.weight),
        "doubly_robust": off_policy.doubly_robust(rows.reward, rows.weight, rows.predicted, rows.value),
    }
    for name, estimate in estimates.items():
        figures[name] = [round(number, 5) for number in (estimate.value, *estimate.interval())]
    figures["effective_decisions"] = round(off_policy.effective_size(rows.weight), 1)
    figures["reward_ece"] = round(expected_calibration_error(rows.predicted, rows.reward), 5)
    return figures


def _hits(network: Network, log: Log) -> NDArray[np.bool_]:
    """Return whether the most probable action is the corrected one, for each decision with a correction."""
    standard = standardised(log, network.scale)
    groups = zip(standard, policy_of(network.policy, standard), strict=True)
    return np.concatenate(
        [(policy.argmax(1) == group.label)[group.label >= 0] for group, policy in groups] or [np.zeros(0, bool)]
    )


@dataclass(frozen=True)
class RewardedDecisions:
    """Decisions with a reward, (N,) each: the reward, its importance weight, and the reward model's prediction.

    `logit` is of the `predicted` reward; `value` is the policy's by the model; `history_weight` is less for older ones.
    """

    reward: NDArray[Any]
    weight: Floats
    logit: Floats
    predicted: Floats
    value: Floats
    history_weight: Floats


def rewarded(network: Network, log: Log) -> RewardedDecisions | None:
    """Return the decisions with a reward, as the network sees them; None where there are none."""
    standard, parts = standardised(log, network.scale), []
    for group, policy in zip(standard, policy_of(network.policy, standard), strict=True):
        chosen = (np.arange(len(group)), group.chosen)
        logits = np.asarray(scores(network.rewards, group.context, group.actions), np.float64) / network.temperature
        model = 1 / (1 + np.exp(-logits))
        columns = (
            group.reward,
            policy[chosen] / group.propensity,
            logits[chosen],
            model[chosen],
            (policy * model).sum(1),
            group.weight.reshape(len(group)),
        )
        parts.append([column[np.isfinite(group.reward)] for column in columns])
    if not sum(len(rewards) for rewards, *_ in parts):
        return None
    return RewardedDecisions(*map(np.concatenate, zip(*parts, strict=True)))
