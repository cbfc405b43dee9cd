"""`python -m models.decision.train`: from a log of decisions to a policy, its ONNX file, and the card."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import onnx
import onnxruntime
import typer
from rich.console import Console

from models.base import Asked, Judged, OnStep, Sample, Trained, Untrainable
from models.decision.data import simulator
from models.decision.schema import Schema
from models.decision.task import Decision
from models.decision.training.log_reader import Logged, read, total
from models.decision.training.network import Network, scores
from models.decision.training.policy_gradient import Plan
from models.decision.training.policy_iteration import Fitted, evaluated, fit
from models.decision.training.trajectories import Runs, arranged
from models.training_command import shown

PLAN = Plan()
SIMULATED = 20_000
MADE = f"{SIMULATED:,} visitors of models/decision/data/simulator.py, shown offers by a uniform policy"
PARITY_TOLERANCE = 1e-3


def train(
    task: Decision, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep, plan: Plan = PLAN
) -> Trained:
    """A new version, the same for the same arguments. Raises `Untrainable`; RuntimeError if ONNX differs from JAX.

    Without a dataset it learns from visitors of the made problem, whom a uniform policy has shown offers.
    """
    if dataset is None and not task.samples():
        raise Untrainable("A schema of your own needs a dataset: only the made problem comes with data.")
    start = None if parent is None else network_of(parent, task.schema)
    runs = arranged(read(dataset) if dataset is not None else simulated(task, SIMULATED, seed))
    fitted = fit(task.schema, runs, start, task.gamma, seed, on_step, plan)
    model = fitted.network.to_onnx()
    content = model.SerializeToString()
    difference = _parity(content, fitted)
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    card = {
        "seed": seed,
        "preprocess_version": task.preprocess_version,
        "data": MADE if dataset is None else "decisions of the log, with their rewards and corrections",
        "confidence": "expected reward (in episodes: return) of the chosen action, as a share of the reward range",
        "schema": task.schema.described(),
        "decisions": {"train": total(fitted.train), "validation": total(fitted.validation)},
        "reward range": list(fitted.network.reward_range),
        "plan": asdict(plan),
        "temperature": round(fitted.network.temperature, 5),
        "validation": evaluated(fitted.network, fitted.validation),
        **_of_episodes(runs, fitted, task.gamma),
        "parity_max_abs_diff": float(f"{difference:.3g}"),
    }
    return Trained(content, card)


def _of_episodes(runs: Runs, fitted: Fitted, gamma: float) -> dict[str, Any]:
    """What a card says besides, where decisions are steps of episodes."""
    if not runs.in_episodes:
        return {}
    figures = fitted.checked.figures(fitted.network, gamma)
    return {"episodes": {"gamma": gamma, "left_out": runs.left_out, "validation": figures}}


def simulated(task: Decision, count: int, seed: int) -> Iterator[Logged]:
    """Decisions of a uniform policy on visitors of the made problem; every tenth is for validation."""
    rng = np.random.default_rng((simulator.TRAINING_SEED, seed, 1))
    for number, sample in enumerate(simulator.visits(count, simulator.TRAINING_SEED, seed, 0)):
        actions = list(simulator.chances(json.loads(sample.payload)))
        chosen = int(rng.integers(len(actions)))
        reward = simulator.reward(sample, {"action": actions[chosen]}, rng)
        split = "validation" if number % 10 == 0 else "train"
        yield Logged(task.preprocess(sample.payload), chosen, 1 / len(actions), reward, split=split)


def network_of(path: Path, schema: Schema) -> Network:
    """A version's network. Raises `Untrainable` for what is no model of this schema."""
    try:
        parent = Network.from_onnx(onnx.load(path))
    except KeyError as error:
        raise Untrainable(f"{path} is no model of this task: it has no {error}. Name another parent.") from error
    if parent.schema != schema.described():
        raise Untrainable(f"{path} was trained with another schema. Train from scratch, or use its schema.")
    return parent


def _parity(content: bytes, fitted: Fitted) -> float:
    """The largest difference between the probabilities of ONNX Runtime and of JAX."""
    some = fitted.train[0].take(np.arange(min(64, len(fitted.train[0]))))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feeds = {"context": some.context, "actions": some.actions}
    served = dict(zip(("logits", "rewards"), session.run(["logits", "rewards"], feeds), strict=True))
    network = fitted.network
    context, actions = network.scale.context(some.context), network.scale.actions(some.actions)
    logits = scores(network.policy, context, actions)
    rewards = jax.nn.sigmoid(scores(network.rewards, context, actions) / network.temperature)
    pairs = [(jax.nn.softmax(logits), jax.nn.softmax(served["logits"])), (rewards, served["rewards"])]
    return max(float(np.abs(np.asarray(ours) - np.asarray(theirs)).max()) for ours, theirs in pairs)


def judged(task: Decision, model: bytes, samples: list[Sample]) -> list[Judged]:
    """What a model says of each sample, one by one as when serving."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    made = []
    for sample in samples:
        asked = Asked(f"decision:{sample.name}", task.preprocess(sample.payload))
        feeds = {name: tensor[None] for name, tensor in task.inputs(asked.features).items()}
        outputs = dict(zip(("logits", "rewards"), session.run(["logits", "rewards"], feeds), strict=True))
        made.append(Judged(sample, task.decode(outputs, [asked])[0]))
    return made


def write(trained: Trained, figures: dict[str, float], out: Path, command: str) -> dict[str, Any]:
    """`model.onnx` and `card.json` in the folder `out`, whose name is the version; the card."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(trained.model)
    head = {"task": "decision", "version": out.name, "created by command": command, "model bytes": len(trained.model)}
    card = {**head, **trained.card, "figures": {name: round(value, 5) for name, value in figures.items()}}
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return card


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")],
    seed: Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")] = 0,
) -> None:
    """Trains the decision policy on visitors of the made problem and measures it on visitors it has never seen.

    Example: python -m models.decision.train --seed 0 --out models/decision/versions/1
    """
    task, console = Decision(), Console(stderr=True)
    with shown(console, "simulating visitors") as on_step:
        trained = train(task, None, None, seed, on_step)
    figures = task.figures(judged(task, trained.model, list(task.held_out())))
    card = write(trained, figures, out, f"python -m models.decision.train --seed {seed} --out {out}")
    console.print_json(data=card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
