"""`python -m models.decision.train`: from a log of decisions to a policy, its ONNX file, and the card."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import typer

from models import training_command
from models.base import OnStep, Trained, Untrainable
from models.decision.data import simulator
from models.decision.schema import Schema
from models.decision.task import Decision
from models.decision.training.evaluation import evaluated
from models.decision.training.log_reader import LoggedDecision, read, total
from models.decision.training.network import Network
from models.decision.training.policy_gradient import PolicyFittingPlan
from models.decision.training.policy_iteration import FittedPolicy, fit
from models.decision.training.trajectories import Trajectories, trajectories_of
from models.nn.onnx_inference import judge, session
from models.training_command import OutOption, SeedOption

PLAN = PolicyFittingPlan()
SIMULATED = 20_000
MADE = f"{SIMULATED:,} visitors of models/decision/data/simulator.py, shown offers by a uniform policy"
PARITY_TOLERANCE = 1e-3


def train(
    task: Decision,
    dataset: Path | None,
    parent: Path | None,
    seed: int,
    on_step: OnStep,
    plan: PolicyFittingPlan = PLAN,
) -> Trained:
    """Fit a version, see `models.training.Trainer`.

    Raises `Untrainable`, and `RuntimeError` where ONNX Runtime and JAX differ.

    Without a dataset it learns from simulated visitors, to whom a uniform policy shows offers.
    """
    if dataset is None and not task.samples():
        raise Untrainable("A schema of your own needs a dataset: only the shipped schema has simulated data.")
    start = None if parent is None else network_of(parent, task.schema)
    trajectories = trajectories_of(read(dataset) if dataset is not None else simulated(task, SIMULATED, seed))
    fitted = fit(task, trajectories, start, seed, on_step, plan)
    model = fitted.network.to_onnx()
    content = model.SerializeToString()
    difference = _parity(content, fitted)
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    card = {
        "task": task.name,
        "model bytes": len(content),
        "seed": seed,
        "preprocess_version": task.preprocess_version,
        "data": MADE if dataset is None else "decisions of the log, with their rewards and corrections",
        "confidence": "expected reward (in episodes: return) of the chosen action, as a share of the reward range",
        "schema": task.schema.described(),
        "decisions": {"train": total(fitted.train), "validation": total(fitted.validation)},
        "reward range": list(fitted.network.reward_range),
        "half-life": None if np.isinf(fitted.half_life) else round(fitted.half_life),
        "plan": asdict(plan),
        "temperature": round(fitted.network.temperature, 5),
        "validation": evaluated(fitted.network, fitted.validation),
        **_of_episodes(trajectories, fitted, task.gamma),
        "parity_max_abs_diff": float(f"{difference:.3g}"),
    }
    return Trained(content, card)


def _of_episodes(trajectories: Trajectories, fitted: FittedPolicy, gamma: float) -> dict[str, Any]:
    """Return a card's figures of episodes, where decisions are steps of episodes."""
    if not trajectories.in_episodes:
        return {}
    figures = fitted.checked.figures(fitted.network, gamma)
    return {"episodes": {"gamma": gamma, "left_out": trajectories.left_out, "validation": figures}}


def simulated(task: Decision, count: int, seed: int) -> Iterator[LoggedDecision]:
    """Yield decisions of a uniform policy on simulated visitors; every tenth is for validation."""
    rng = np.random.default_rng((simulator.TRAINING_SEED, seed, 1))
    for number, sample in enumerate(simulator.visits(count, simulator.TRAINING_SEED, seed, 0)):
        actions = list(simulator.acceptance_probabilities(json.loads(sample.payload)))
        chosen = int(rng.integers(len(actions)))
        reward = simulator.reward(sample, {"action": actions[chosen]}, rng)
        split = "validation" if number % 10 == 0 else "train"
        yield LoggedDecision(task.preprocess(sample.payload), chosen, 1 / len(actions), reward, split=split)


def network_of(path: Path, schema: Schema) -> Network:
    """Return a version's network. Raises `Untrainable` for another model."""
    try:
        parent = Network.from_onnx(onnx.load(path))
    except KeyError as error:
        raise Untrainable(f"{path} is not a model of this task: it has no {error}. Name another parent.") from error
    if parent.schema != schema.described():
        raise Untrainable(f"{path} was trained with another schema. Train from scratch, or use its schema.")
    return parent


def _parity(content: bytes, fitted: FittedPolicy) -> float:
    """Return the largest difference between the scores of ONNX Runtime and of JAX, relative to those above 1."""
    some = fitted.train[0].take(np.arange(min(64, len(fitted.train[0]))))
    feeds = {"context": some.context, "actions": some.actions}
    served = session(content).run(["logits", "rewards"], feeds)
    network = fitted.network
    inputs = network.scale.context(some.context), network.scale.actions(some.actions)
    pairs = zip((network.logits(*inputs), network.expected(*inputs)), served, strict=True)
    return max(float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()) for ours, theirs in pairs)


def main(out: OutOption, seed: SeedOption = 0) -> None:
    """Train the decision policy on simulated visitors and measure it on visitors it has never seen.

    Example: python -m models.decision.train --seed 0 --out models/decision/versions/1
    """

    def fit_and_measure(on_step: OnStep) -> Trained:
        task = Decision()
        trained = train(task, None, None, seed, on_step)
        figures = task.figures(judge(session(trained.model), task, list(task.held_out())))
        return Trained(trained.model, {**trained.card, "figures": {n: round(v, 5) for n, v in figures.items()}})

    training_command.run("models.decision.train", fit_and_measure, out, {"seed": seed})


if __name__ == "__main__":
    typer.run(main)
