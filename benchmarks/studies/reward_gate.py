"""Does what learned from bare rewards pass the gate? `python -m benchmarks.studies.reward_gate TASK`.

The shipped version serves a source that it is bad at (`benchmarks.studies.drifted`), and draws a share of its outputs.
A candidate learns from rewards alone. Then both are valued on as many held-out rewards as each size says; so are the
shipped version against itself, and against the candidate: neither may pass.

For `decision`, a policy that earns -1 is judged beside a champion that earns 0, and the other way round.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from app.retraining.pipeline.gate_rewards import RewardEvidence, check_rewards, gather_reward_evidence
from app.settings import CHECKOUT
from app.settings.gate import GateSettings
from benchmarks.studies import decision_learner
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import serve_samples, write_dataset
from benchmarks.studies.loop_worth.log import predict
from models.base import Asked, Task
from models.datasets import MANIFEST
from models.decision import Decision
from models.decision.training.network import untrained
from models.training import train

HELD_OUT_COUNTS = (300, 600, 1_000, 1_500)
REWARDS = {"harmless": 0.0, "harmful": -1.0}
"""What each of two actions earns."""
_PREFERENCE = 3.0
"""The difference in the score of two actions for each column of the context."""


@dataclass(frozen=True)
class RewardVerdict:
    """What the gate says of a candidate by rewards alone."""

    candidate: str
    held_out: int
    evidence: RewardEvidence | None
    reason: str | None


def judge_by_rewards(
    name: str, fitted: int, held_out: tuple[int, ...], explore: float, seed: int
) -> Iterator[RewardVerdict]:
    """Train a candidate on `fitted` rewards; yield the verdicts for each number of held-out rewards."""
    source, shipped = SOURCES[name], CHECKOUT / "models/small" / name / "versions/1/model.onnx"
    task = source.task(explore)
    samples = source.samples(1, fitted + max(held_out), seed).logged
    log = serve_samples(source, explore, samples, shipped, f"gate-{seed}")
    with TemporaryDirectory() as directory:
        candidate = Path(directory) / "candidate.onnx"
        dataset = write_dataset(Path(directory) / "fitted", log[:fitted], repeat("reward"))
        candidate.write_bytes(train(task, dataset, shipped, seed, lambda *_: None).model)
        pairs = {"learned": (candidate, shipped), "the same": (shipped, shipped), "worse": (shipped, candidate)}
        for count in held_out:
            rows = write_dataset(
                Path(directory) / str(count), log[fitted : fitted + count], repeat("reward"), ("test",)
            )
            for kind, (own, other) in pairs.items():
                yield _judge(task, rows, (own, other), (kind, count))


def _judge(task: Task, rows: Path, versions: tuple[Path, Path], named: tuple[str, int]) -> RewardVerdict:
    evidence = gather_reward_evidence(task, rows, *versions, lambda *_: None)
    reason = check_rewards(evidence, GateSettings(), alone=True)[1] if evidence else "too few rewards"
    return RewardVerdict(*named, evidence, reason)


def judge_policies(held_out: tuple[int, ...]) -> Iterator[RewardVerdict]:
    """Yield the verdicts on a policy that chooses the harmful action, and on one that chooses the other.

    Each is judged beside itself and beside the other, by so many decisions of its champion.
    """
    with TemporaryDirectory() as name:
        directory = Path(name)
        schema = directory / "schema.json"
        schema.write_text(json.dumps({"context": {"x": "numeric"}, "actions": {"kind": list(REWARDS)}}))
        task = Decision(schema=str(schema), exploration="epsilon-greedy", epsilon=0.5)
        versions = {kind: directory / f"{kind}.onnx" for kind in REWARDS}
        for place, path in enumerate(versions.values()):
            network = untrained(task.schema)
            prefers = np.zeros_like(network.policy["bilinear"])
            prefers[:, place] = _PREFERENCE
            network = replace(network, policy={**network.policy, "bilinear": prefers})
            path.write_bytes(network.to_onnx().SerializeToString())
        for champion in REWARDS:
            for count in held_out:
                rows = _serve_decisions(task, versions[champion], count, directory / f"{champion}-{count}")
                for candidate in REWARDS:
                    named = f"{candidate}, beside {champion}", count
                    yield _judge(task, rows, (versions[candidate], versions[champion]), named)


def _serve_decisions(task: Task, version: Path, count: int, out: Path) -> Path:
    """Return a dataset of decisions of a version, each with its reward."""
    request = {"context": {"x": 1.0}, "actions": [{"id": action, "kind": action} for action in REWARDS]}
    features = task.preprocess(json.dumps(request).encode())
    asked = [Asked(f"decision:{out.name}-{number}", features) for number in range(count)]
    rows = [
        decision_learner.make_dataset_row(one, decoded, REWARDS[decoded.output["action"]], number) | {"split": "test"}
        for number, (one, decoded) in enumerate(zip(asked, predict(task, version, asked), strict=True))
    ]
    decision_learner.write_dataset(rows, out)
    (out / MANIFEST).write_text("{}")
    return out


def main(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}, decision.")],
    fitted: Annotated[int, typer.Option(help="Rewards to learn from.")] = 3_000,
    explore: Annotated[float, typer.Option(help="Share of the outputs that are drawn.")] = 0.3,
    seed: int = 0,
) -> None:
    """Print a table: the gain that rewards show at least, with its interval, and whether it passes."""
    print("| candidate | held-out rewards | gain, at least | passes |\n|---|---:|---|---|")
    by_task = judge_by_rewards(task, fitted, HELD_OUT_COUNTS, explore, seed)
    for verdict in judge_policies(HELD_OUT_COUNTS) if task == "decision" else by_task:
        gain = ""
        if verdict.evidence is not None:
            low, high = verdict.evidence.difference.interval()
            gain = f"{verdict.evidence.difference.value:+.4f} ({low:+.4f} to {high:+.4f})"
        print(f"| {verdict.candidate} | {verdict.held_out} | {gain} | {verdict.reason is None} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
