"""Does what learned from bare rewards pass the gate? `python -m benchmarks.studies.reward_gate TASK`.

The shipped version serves a source that it is bad at (`benchmarks.studies.drifted`), and draws a share of its outputs.
A candidate learns from rewards alone. Then both are valued on as many held-out rewards as each size says; so are the
shipped version against itself, and against the candidate: neither may pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from app.retraining.pipeline.gate_rewards import RewardEvidence, check_rewards, gather_reward_evidence
from app.settings import CHECKOUT
from app.settings.gate import GateSettings
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import serve_samples, write_dataset
from models.training import train

HELD_OUT_COUNTS = (300, 600, 1_000, 1_500)


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
    source, shipped = SOURCES[name], CHECKOUT / "models" / name / "versions/1/model.onnx"
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
                evidence = gather_reward_evidence(task, rows, own, other, lambda *_: None)
                reason = check_rewards(evidence, GateSettings(), alone=True)[1] if evidence else "too few rewards"
                yield RewardVerdict(kind, count, evidence, reason)


def main(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}.")],
    fitted: Annotated[int, typer.Option(help="Rewards to learn from.")] = 3_000,
    explore: Annotated[float, typer.Option(help="Share of the outputs that are drawn.")] = 0.3,
    seed: int = 0,
) -> None:
    """Print a table: the gain that rewards show at least, with its interval, and whether it passes."""
    print("| candidate | held-out rewards | gain, at least | passes |\n|---|---:|---|---|")
    for verdict in judge_by_rewards(task, fitted, HELD_OUT_COUNTS, explore, seed):
        gain = ""
        if verdict.evidence is not None:
            low, high = verdict.evidence.difference.interval()
            gain = f"{verdict.evidence.difference.value:+.4f} ({low:+.4f} to {high:+.4f})"
        print(f"| {verdict.candidate} | {verdict.held_out} | {gain} | {verdict.reason is None} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
