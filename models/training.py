"""Fit new versions and value them off policy, by the functions that a task names.

A task names them as `module:function`, so that neither serving nor the task's own module imports a training library.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.base import OnStep, Task, Trained, Untrainable
from models.entry_points import load
from models.policy_value import PolicyValue

Trainer = Callable[[Any, Path | None, Path | None, int, OnStep], Trained]
"""Fit a new version from (task, dataset, parent, seed, on_step), the same for the same arguments.

`dataset` is a directory that `hindsight replay` wrote (None: only the data that comes with the task), `parent` the
`model.onnx` or `manifest.json` that training starts from (None: from scratch). Raises `Untrainable`.
"""

OffPolicyEvaluator = Callable[[Any, Path, Sequence[Path], int, OnStep], list[PolicyValue]]
"""Estimate from (task, dataset, versions, seed, on_step) what each version would have earned, by their paths.

Raises `Untrainable`.
"""


def train(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a new version with the task's trainer, see `Trainer`. Raises `Untrainable`."""
    if task.trainer is None:
        raise Untrainable(f"{task.name} only predicts: train its model elsewhere, as an ONNX file.")
    trainer: Trainer = load(task.trainer)
    return trainer(task, dataset, parent, seed, on_step)


def evaluate_off_policy(
    task: Task, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions with the task's evaluator, see `OffPolicyEvaluator`. Raises `Untrainable`."""
    if task.off_policy_evaluator is None:
        raise Untrainable(f"{task.name} can't be valued off policy: its outputs are not drawn.")
    evaluator: OffPolicyEvaluator = load(task.off_policy_evaluator)
    return evaluator(task, dataset, versions, seed, on_step)


def check_start(task: str, dataset: Path | None, parent: Path | None) -> None:
    """Raise `Untrainable` unless a dataset and a parent are given together.

    For tasks that are trained from scratch on synthetic data, or from a parent on a dataset.
    """
    if (dataset is None) != (parent is None):
        raise Untrainable(
            f"{task} is trained from scratch on made data, or from a parent on a dataset: name both of these or neither"
        )
