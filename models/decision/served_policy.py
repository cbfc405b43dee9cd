"""The policy that a version serves on logged decisions: its network's, with the task's exploration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.decision.exploration import PARTS
from models.decision.guardrails import capped_parts
from models.decision.task import Decision
from models.decision.training.log_reader import Log
from models.decision.training.network import Network
from models.decision.training.returns import flat, standardised


def served_policies(task: Decision, network: Network, log: Log) -> list[NDArray[np.float64]]:
    """Return the probability with which each action would be served, (N, n) for each group; 0 of padding.

    Masks and guardrails are those of the log: what was forbidden then is forbidden to each version.
    """
    policies = []
    for group in standardised(log, network.scale):
        logits = np.asarray(network.logits(group.context, group.actions))
        values = np.zeros(group.actions.shape[:2])
        for row, (count, of_decision) in enumerate(zip(group.count, logits, strict=True)):
            limits = group.caps[row, :count]
            values[row, :count] = capped_parts(task.exploration, of_decision[..., :count], limits) / PARTS
        policies.append(values)
    return policies


def of_chosen(log: Log, tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the values of the chosen actions, (N,), from values of all actions, (N, n) for each group."""
    return flat(log, [table[np.arange(len(group)), group.chosen] for table, group in zip(tables, log, strict=True)])
