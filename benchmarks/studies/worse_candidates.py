"""Does a candidate that is worse ever pass the gate? `python -m benchmarks.studies.worse_candidates`.

A simulated champion is right in 80 % of its predictions. A candidate corrects most of its mistakes and makes others:
how many of them differs from entity to entity, so that the requests of an entity depend on each other. People answer a
share of the audit, here and there or in one stretch of time; and volunteers correct 80 % of the champion's mistakes,
audited or not, so that all labels together favour any candidate. Each log is a dataset, and both versions are ONNX
files: the backtest, the gate's evidence and the gate are those of a retraining run.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray
from rich.console import Console

from app.evaluation.backtest import backtest
from app.replay import dataset
from app.retraining.pipeline.gate import GateVerdict, evaluate_gate
from app.retraining.pipeline.gate_evidence import VersionPair, gather_gate_evidence
from app.settings.gate import GateSettings
from models import tensors
from models.base import Asked, Decoded, Features, Sample, Task
from models.nn.onnx_graph import Graph
from models.off_policy import Floats

PREDICTIONS, ENTITIES = 3_000, 100
AUDIT_SHARE, VOLUNTEERED = 0.2, 0.8
RIGHT, CORRECTED = 0.8, 0.8
"""The share of predictions in which the champion is right, and of its mistakes that a candidate corrects."""
MISTAKE_SCORE = 0.5
REGRESSED = {"better": 0.05, "equal": 0.2, "worse": 0.275}
"""The mean share of its right predictions that a candidate gets wrong."""
CONCENTRATION = 3.0
"""Of the beta distribution of these shares over the entities: their standard deviation is half of sqrt(m (1 - m))."""
ANSWERED_SHARES = (0.0, 0.2, 0.5, 1.0)
Pattern = Literal["here and there", "in one stretch"]
PATTERNS: tuple[Pattern, ...] = ("here and there", "in one stretch")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Guess(Task):
    """Predict a number, which should be 0: the features have the champion's and the candidate's prediction."""

    name = "guess"
    preprocess_version = "1"

    def preprocess(self, payload: bytes) -> Features:
        return {"guesses": np.array(json.loads(payload), np.float32)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded({"guess": float(guess)}, 1.0) for [guess] in outputs["guess"]]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return {"guess": float(correction["guess"])}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return max(0.0, 1 - abs(float(output["guess"]) - float(correction["guess"])))

    def samples(self) -> Sequence[Sample]:
        return [Sample("right", b"[0, 0]", "application/json", {"guess": 0.0})]


def true_gain(kind: str) -> float:
    """Return the mean difference in score, candidate less champion, over all requests of all entities."""
    return (1 - MISTAKE_SCORE) * ((1 - RIGHT) * CORRECTED - RIGHT * REGRESSED[kind])


@dataclass(frozen=True)
class SimulatedLog:
    """Predictions in order of time; an entity has 1 to 300 of them."""

    entities: NDArray[np.intp]
    scores: Floats
    """Of champion and candidate (predictions, 2)."""
    audited: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]
    """Which audited ones people answered through the audit's queue."""
    volunteered: NDArray[np.bool_]

    @property
    def all_labels_gain(self) -> float:
        """The mean gain on all labels, however they were selected."""
        known = self.reviewed | self.volunteered
        return float(np.mean(self.scores[known, 1] - self.scores[known, 0]))


def draw_log(kind: str, answered: float, pattern: Pattern, rng: np.random.Generator) -> SimulatedLog:
    """Draw a log."""
    traffic = 1 / np.sqrt(np.arange(1, ENTITIES + 1))
    entities = rng.choice(ENTITIES, PREDICTIONS, p=traffic / traffic.sum())
    mean = REGRESSED[kind]
    regressed_shares = rng.beta(mean * CONCENTRATION, (1 - mean) * CONCENTRATION, ENTITIES)
    right = rng.random(PREDICTIONS) < RIGHT
    corrected = rng.random(PREDICTIONS) < CORRECTED
    regressed = rng.random(PREDICTIONS) < regressed_shares[entities]
    mistakes = 2 * MISTAKE_SCORE * rng.random(PREDICTIONS)
    champion = np.where(right, 1.0, mistakes)
    candidate = np.where(right, np.where(regressed, mistakes, 1.0), np.where(corrected, 1.0, mistakes))
    audited = rng.random(PREDICTIONS) < AUDIT_SHARE
    places = np.arange(PREDICTIONS) / PREDICTIONS
    begin = rng.random() * (1 - answered)
    answers = (
        rng.random(PREDICTIONS) < answered
        if pattern == "here and there"
        else (places >= begin) & (places < begin + answered)
    )
    volunteered = ~right & (rng.random(PREDICTIONS) < VOLUNTEERED)
    return SimulatedLog(entities, np.stack([champion, candidate], 1), audited, audited & answers, volunteered)


def write_log(log: SimulatedLog, directory: Path) -> None:
    """Write a log as a dataset, in which all entities are held out; rows that say nothing are left out."""
    rows = []
    for number in np.flatnonzero(log.audited | log.volunteered).tolist():
        features, declaration = tensors.encode({"guesses": (1 - log.scores[number]).astype(np.float32)})
        known = log.reviewed[number] or log.volunteered[number]
        rows.append(
            {
                **dict.fromkeys(dataset.SCHEMA.names),
                "prediction_id": str(number),
                "entity": f"entity {log.entities[number]}",
                "request_source": "app",
                "time": START + timedelta(minutes=number),
                "split": "test",
                "features": features,
                "tensors": declaration,
                "output": json.dumps({"guess": 1 - log.scores[number, 0]}),
                "version": "1",
                "label": json.dumps({"guess": 0.0}) if known else None,
                "selection": "audit" if log.audited[number] else "volunteer",
                "selection_probability": AUDIT_SHARE if log.audited[number] else None,
                "audit_answered": bool(log.reviewed[number]) if log.audited[number] else None,
            }
        )
    with dataset.DatasetWriter(directory / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))


def _write_versions(directory: Path) -> VersionPair:
    """Write champion and candidate: each outputs its column of the features."""
    paths = [directory / f"{name}.onnx" for name in ("champion", "candidate")]
    for column, path in enumerate(paths):
        graph = Graph("guess")
        chosen = graph.constant(np.eye(2, dtype=np.float32)[:, [column]], "column")
        guesses = graph.input("guesses", np.float32, ["batch", 2])
        graph.output("guess", graph.add("MatMul", guesses, chosen), np.float32, ["batch", 1])
        path.write_bytes(bytes(graph.model({}).SerializeToString()))
    return VersionPair(Guess(), candidate=paths[1], champion=paths[0])


def judge_candidate(kind: str, answered: float, pattern: Pattern, seed: int) -> tuple[SimulatedLog, GateVerdict]:
    """Return a log, and the gate's verdict by it."""
    log = draw_log(kind, answered, pattern, np.random.default_rng(seed))
    with TemporaryDirectory() as name:
        directory = Path(name)
        write_log(log, directory)
        versions = _write_versions(directory)
        history = backtest(versions.task, versions.candidate, directory, lambda *_: None)
        evidence = gather_gate_evidence(versions, directory, ("request_source",), history, lambda *_: None)
    # Both versions take equally long; what is measured is the load of the machine.
    return log, evaluate_gate(evidence, GateSettings(max_latency_ratio=1e6), seed)


HEADER = (
    "| candidate | true gain | audit answered | by all labels | by the gate | passed |\n|---|---:|---|---:|---:|---:|"
)


def rows(seeds: int, kinds: Sequence[str] = tuple(REGRESSED)) -> Iterator[str]:
    """Yield a row of each kind of candidate, answered share and pattern."""
    yield HEADER
    for kind in kinds:
        for answered in ANSWERED_SHARES:
            for pattern in PATTERNS if 0 < answered < 1 else PATTERNS[:1]:
                judged = [judge_candidate(kind, answered, pattern, seed) for seed in range(seeds)]
                labels = float(np.mean([log.all_labels_gain for log, _ in judged]))
                gains = [verdict.metrics.get("improvement") for _, verdict in judged]
                known = [gain for gain in gains if gain is not None]
                passed = sum(verdict.passed for _, verdict in judged)
                share = f"{answered:.0%}, {pattern}" if 0 < answered < 1 else f"{answered:.0%}"
                by_gate = f"{np.mean(known):+.3f}" if known else "refused"
                yield f"| {kind} | {true_gain(kind):+.3f} | {share} | {labels:+.3f} | {by_gate} | {passed} of {seeds} |"


def main(seeds: Annotated[int, typer.Option(min=1, help="Candidates in each row.")] = 100) -> None:
    """Simulate, and print the table."""
    console = Console(soft_wrap=True, highlight=False)
    for row in rows(seeds):
        console.print(row, markup=False)


if __name__ == "__main__":
    typer.run(main)
