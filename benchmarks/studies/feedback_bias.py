"""`python -m benchmarks.studies.feedback_bias`: what is made of a task whose people correct mistakes alone.

A made task, so that the truth is known: windows of predictions, of which an audit draws some at random, and of whose
mistakes people correct a share. Three times follow each other: the usual; people correct four times as eagerly; quality
falls, and people hardly correct any more. Beside the truth there are the plain average over all labels and the weighted
estimate, and what the quality trigger makes of either. Of two candidates, one better and one worse than the champion,
the gate's score stands beside the truth as well.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console

from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.replay import dataset
from app.retraining.pipeline.gate import GateEvidence, GateVerdict, PairedScore, evaluate_gate
from app.retraining.pipeline.gate_evidence import held_out_examples
from app.retraining.triggers.evaluate import TriggerSettings, evaluate
from app.retraining.triggers.observation import Observation, TaskTriggerState, WindowValue
from app.settings.gate import GateSettings
from models import tensors
from models.off_policy import Floats

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PREDICTIONS = 10_000
"""In each window, an hour."""
AUDIT_SHARE = 0.05
MISTAKE_SCORE = 0.5
"""The mean score of a mistake; whatever is right scores 1."""
TRIGGERS = TriggerSettings(min_new_labels=None, drift_windows=None, alerts=None)
_EASY_SHARE = 0.5
"""The share of the champion's mistakes that either candidate makes right."""


@dataclass(frozen=True)
class Phase:
    """How the task fares for some windows."""

    name: str
    right: float
    """The share of predictions without a mistake."""
    corrected: float
    """The share of mistakes outside the audit that people correct."""

    @property
    def truth(self) -> float:
        """The mean score of all predictions."""
        return self.right + (1 - self.right) * MISTAKE_SCORE


PHASES = (Phase("usual", 0.9, 0.2), Phase("people more eager", 0.9, 0.8), Phase("quality falls", 0.75, 0.02))


@dataclass(frozen=True)
class WindowLabels:
    """The scores of a window's predictions, and which of them are known, and how."""

    scores: Floats
    audited: Any
    corrected: Any

    @classmethod
    def draw(cls, phase: Phase, random: np.random.Generator) -> "WindowLabels":
        """One window of a phase."""
        scores = np.where(random.random(PREDICTIONS) < phase.right, 1.0, 2 * MISTAKE_SCORE * random.random(PREDICTIONS))
        audited = random.random(PREDICTIONS) < AUDIT_SHARE
        return cls(scores, audited, ~audited & (scores < 1) & (random.random(PREDICTIONS) < phase.corrected))

    @property
    def to_scored_outcomes(self) -> list[ScoredOutcome]:
        """As their outcomes say it."""
        return [
            *(ScoredOutcome(START, score, "audit", AUDIT_SHARE) for score in self.scores[self.audited].tolist()),
            *(ScoredOutcome(START, score, "volunteer", None) for score in self.scores[self.corrected].tolist()),
        ]


@dataclass(frozen=True)
class WindowResult:
    """A window: what is true, and what is made of its labels."""

    phase: str
    truth: float
    """The mean score of all its predictions, known or not."""
    plain: float
    weighted: float
    interval: tuple[float, float]
    fires: bool
    """Whether the trigger does, as it is."""
    plain_fires: bool
    """Whether it would if it took all labels for chosen by chance."""


def simulate_windows(seed: int, each: int) -> Iterator[WindowResult]:
    """So many windows of each phase, one after the other. References are the first window's own."""
    random = np.random.default_rng(seed)
    references: tuple[float, float] | None = None
    states, start = (TaskTriggerState(), TaskTriggerState()), START
    for phase in PHASES:
        for _ in range(each):
            labels, start = WindowLabels.draw(phase, random), start + HOUR
            found = estimate_quality(labels.to_scored_outcomes, PREDICTIONS)
            naive = estimate_quality(
                [replace(one, selection="audit", selection_probability=1.0) for one in labels.to_scored_outcomes], 1
            )
            assert found.score is not None and naive.score is not None
            references = references or (found.score, naive.score)
            (state, fires), (other, plain_fires) = (
                _evaluate_trigger(known, one, reference, start)
                for known, one, reference in zip(states, (found, naive), references, strict=True)
            )
            states = state, other
            truth = float(np.mean(labels.scores))
            yield WindowResult(phase.name, truth, naive.score, found.score, found.interval(), fires, plain_fires)


def _evaluate_trigger(
    state: TaskTriggerState, found: QualityEstimate, reference: float, start: datetime
) -> tuple[TaskTriggerState, bool]:
    seen = Observation(quality=WindowValue(start, start + HOUR, found), reference=reference)
    state, firings = evaluate(state, seen, start + HOUR, TRIGGERS)
    return state, bool(firings)


@dataclass(frozen=True)
class CandidateResult:
    """A candidate: what it is worth, and what labels and gate say of that. Gains are over the champion."""

    name: str
    truth: float
    """The mean gain in score on all predictions."""
    plain: float
    """The mean gain on all labels."""
    verdict: GateVerdict
    """The gate's."""


def evaluate_candidates(seed: int) -> Iterator[CandidateResult]:
    """One that is better and one that is worse than the champion. Both know what people correct of its mistakes."""
    random = np.random.default_rng(seed)
    labels = WindowLabels.draw(PHASES[1], random)
    mended = (labels.scores < 1) & (random.random(PREDICTIONS) < _EASY_SHARE)
    for name, spoilt in (("better", 0.01), ("worse", 0.15)):
        broken = (labels.scores == 1) & (random.random(PREDICTIONS) < spoilt)
        scores = np.where(mended, 1.0, np.where(broken, MISTAKE_SCORE, labels.scores))
        gains, known = scores - labels.scores, labels.audited | labels.corrected
        with TemporaryDirectory() as directory:
            pairs = _write_paired_scores(labels, scores, Path(directory))
        evidence = GateEvidence(pairs, [], (0, len(pairs)), None, (1.0, 1.0), 1)
        verdict = evaluate_gate(evidence, GateSettings(), seed)
        yield CandidateResult(name, float(np.mean(gains)), float(np.mean(gains[known])), verdict)


def _write_paired_scores(labels: WindowLabels, scores: Floats, directory: Path) -> list[PairedScore]:
    """What the gate takes from a dataset that has all labels, volunteers' as well; a label says here both scores."""
    features, declaration = tensors.encode({"x": np.zeros(1, np.float32)})
    rows = [
        dict.fromkeys(dataset.SCHEMA.names)
        | {
            "prediction_id": str(number),
            "time": START,
            "split": "test",
            "features": features,
            "tensors": declaration,
            "label": json.dumps({"candidate": scores[number], "champion": labels.scores[number]}),
            "selection": "audit" if labels.audited[number] else "volunteer",
            "selection_probability": AUDIT_SHARE if labels.audited[number] else None,
        }
        for number in np.flatnonzero(labels.audited | labels.corrected).tolist()
    ]
    with dataset.DatasetWriter(directory / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    return [PairedScore(weight=one.weight, **one.label) for one in held_out_examples(directory, [])]


def markdown(streams: Sequence[Sequence[WindowResult]], tried: Sequence[CandidateResult]) -> str:
    """Two tables: of the phases over all streams, and of the candidates."""
    every = [one for stream in streams for one in stream]
    inside = np.mean([one.interval[0] <= one.truth <= one.interval[1] for one in every])
    plain, weighted = (
        np.mean([abs(getattr(one, name) - one.truth) for one in every]) for name in ("plain", "weighted")
    )
    return "\n".join(
        [
            "| | truth | plain average | weighted | trigger fires | by the plain average |",
            "|---|---:|---:|---:|---:|---:|",
            *(_row(phase.name, streams) for phase in PHASES),
            "",
            f"Mean absolute error: plain {plain:.4f}, weighted {weighted:.4f}; in its interval: {inside:.1%}.",
            "",
            "| candidate | gain in truth | on all labels | by the gate | passes |",
            "|---|---:|---:|---:|---:|",
            *(_candidate(name, tried) for name in ("better", "worse")),
        ]
    )


def _row(phase: str, streams: Sequence[Sequence[WindowResult]]) -> str:
    mine = [[one for one in stream if one.phase == phase] for stream in streams]
    means = np.mean([[one.truth, one.plain, one.weighted] for stream in mine for one in stream], axis=0)
    fired = [sum(any(one.fires for one in stream) for stream in mine)]
    fired.append(sum(any(one.plain_fires for one in stream) for stream in mine))
    return _cells(phase, [f"{mean:.3f}" for mean in means], [f"{count} of {len(mine)}" for count in fired])


def _candidate(name: str, tried: Sequence[CandidateResult]) -> str:
    mine = [one for one in tried if one.name == name]
    means = np.mean([[one.truth, one.plain, one.verdict.metrics["improvement"]] for one in mine], axis=0)
    return _cells(
        name, [f"{mean:+.3f}" for mean in means], [f"{sum(one.verdict.passed for one in mine)} of {len(mine)}"]
    )


def _cells(name: str, figures: Sequence[str], counts: Sequence[str]) -> str:
    return f"| {' | '.join([name, *figures, *counts])} |"


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Streams, and candidates of either kind.")] = 10,
    each: Annotated[int, typer.Option(min=2, help="Windows of each phase.")] = 8,
) -> None:
    """Simulate, and print both tables."""
    streams = [list(simulate_windows(seed, each)) for seed in range(seeds)]
    tried = [one for seed in range(seeds) for one in evaluate_candidates(seed)]
    Console(soft_wrap=True, highlight=False).print(markdown(streams, tried), markup=False)


if __name__ == "__main__":
    typer.run(main)
