"""Measure the bias of feedback if people correct only mistakes: `python -m benchmarks.studies.feedback_bias`.

The task is simulated, so that the truth is known. Its predictions come in windows: an audit draws some at random, and
people correct a share of the other mistakes. Three phases follow each other: a baseline; people correct four times as
many mistakes; quality falls, and people hardly correct at all. The tables compare the truth with the plain average of
all labels and with the weighted estimate, and show whether the quality trigger fires by either. For two candidates, one
better and one worse than the champion, they compare the truth with the gate's score, also if people answer only a share
of the audit, while they volunteer corrections of audited mistakes as of all others.
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

from app.evaluation.held_out_scores import held_out_audit, held_out_examples
from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.monitoring.quality_detector import QualityReference
from app.outcomes.audit import AnsweredShare
from app.replay import dataset
from app.retraining.pipeline.gate import GateEvidence, GateVerdict, PairedScore, evaluate_gate
from app.retraining.triggers.evaluate import TriggerSettings, evaluate
from app.retraining.triggers.observation import Observation, TaskTriggerState, WindowValue
from app.settings.gate import GateSettings
from models import tensors
from models.off_policy import Floats

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PREDICTIONS = 10_000
"""In each window of an hour."""
AUDIT_SHARE = 0.05
MISTAKE_SCORE = 0.5
"""The mean score of a mistake; a right prediction scores 1."""
ANSWERED_SHARES = (0.0, 0.2, 0.5, 1.0)
"""The shares of the audit that people answer."""
TRIGGERS = TriggerSettings(min_new_labels=None, drift_windows=None, alerts=None)
_EASY_SHARE = 0.5
"""The share of the champion's mistakes that both candidates correct."""


@dataclass(frozen=True)
class Phase:
    """The quality and the feedback of some windows."""

    name: str
    right: float
    """The share of predictions without a mistake."""
    corrected: float
    """The share of mistakes outside the audit that people correct."""

    @property
    def truth(self) -> float:
        """Return the mean score of all predictions."""
        return self.right + (1 - self.right) * MISTAKE_SCORE


PHASES = (Phase("baseline", 0.9, 0.2), Phase("more corrections", 0.9, 0.8), Phase("quality falls", 0.75, 0.02))


@dataclass(frozen=True)
class WindowLabels:
    """The scores of a window's predictions, and which of them are audited or corrected."""

    scores: Floats
    audited: Any
    corrected: Any

    @classmethod
    def draw(cls, phase: Phase, random: np.random.Generator) -> "WindowLabels":
        """Draw a window of a phase."""
        scores = np.where(random.random(PREDICTIONS) < phase.right, 1.0, 2 * MISTAKE_SCORE * random.random(PREDICTIONS))
        audited = random.random(PREDICTIONS) < AUDIT_SHARE
        return cls(scores, audited, ~audited & (scores < 1) & (random.random(PREDICTIONS) < phase.corrected))

    @property
    def to_scored_outcomes(self) -> list[ScoredOutcome]:
        """Return the known scores as outcomes."""
        return [
            *(ScoredOutcome(START, score, "audit", AUDIT_SHARE) for score in self.scores[self.audited].tolist()),
            *(ScoredOutcome(START, score, "volunteer", None) for score in self.scores[self.corrected].tolist()),
        ]


@dataclass(frozen=True)
class WindowResult:
    """A window: the truth, and the estimates from its labels."""

    phase: str
    truth: float
    """The mean score of all its predictions, known or not."""
    plain: float
    weighted: float
    interval: tuple[float, float]
    fires: bool
    """Whether the trigger fires by the weighted estimate."""
    plain_fires: bool
    """Whether the trigger would fire by the plain average, which takes all labels as chosen at random."""


def simulate_windows(seed: int, each: int) -> Iterator[WindowResult]:
    """Yield `each` windows of each phase, in order. The references are the estimates of the first window."""
    random = np.random.default_rng(seed)
    references: tuple[float, float] | None = None
    states, start = (TaskTriggerState(), TaskTriggerState()), START
    for phase in PHASES:
        for _ in range(each):
            labels, start = WindowLabels.draw(phase, random), start + HOUR
            outcomes = labels.to_scored_outcomes
            weighted = estimate_quality(outcomes, PREDICTIONS)
            plain = estimate_quality(
                [replace(outcome, selection="audit", selection_probability=1.0) for outcome in outcomes], 1
            )
            assert weighted.score is not None and plain.score is not None
            references = references or (weighted.score, plain.score)
            (state, fires), (plain_state, plain_fires) = (
                _evaluate_trigger(state, estimate, reference, start)
                for state, estimate, reference in zip(states, (weighted, plain), references, strict=True)
            )
            states = state, plain_state
            truth = float(np.mean(labels.scores))
            yield WindowResult(phase.name, truth, plain.score, weighted.score, weighted.interval(), fires, plain_fires)


def _evaluate_trigger(
    state: TaskTriggerState, estimate: QualityEstimate, reference: float, start: datetime
) -> tuple[TaskTriggerState, bool]:
    observation = Observation(quality=WindowValue(start, start + HOUR, estimate), reference=QualityReference(reference))
    state, firings = evaluate(state, observation, start + HOUR, TRIGGERS)
    return state, bool(firings)


@dataclass(frozen=True)
class CandidateResult:
    """A candidate: its true gain over the champion, the plain estimate of it, and the gate's verdict."""

    name: str
    answered: float
    """The share of the audit that is answered."""
    truth: float
    """The mean gain in score on all predictions."""
    plain: float
    """The mean gain on all labels."""
    verdict: GateVerdict


def evaluate_candidates(seed: int, answered: float = 1.0) -> Iterator[CandidateResult]:
    """Yield a better and a worse candidate than the champion; both correct the same share of its mistakes."""
    random = np.random.default_rng(seed)
    labels = WindowLabels.draw(PHASES[1], random)
    reviewed = labels.audited & (random.random(PREDICTIONS) < answered)
    # Volunteers do not know what is audited.
    volunteered = labels.corrected | (
        labels.audited & (labels.scores < 1) & (random.random(PREDICTIONS) < PHASES[1].corrected)
    )
    corrected = (labels.scores < 1) & (random.random(PREDICTIONS) < _EASY_SHARE)
    for name, regression_share in (("better", 0.01), ("worse", 0.15)):
        regressed = (labels.scores == 1) & (random.random(PREDICTIONS) < regression_share)
        scores = np.where(corrected, 1.0, np.where(regressed, MISTAKE_SCORE, labels.scores))
        gains, known = scores - labels.scores, reviewed | volunteered
        with TemporaryDirectory() as directory:
            audit, pairs = _write_paired_scores(labels, scores, reviewed, known, Path(directory))
        evidence = GateEvidence(pairs, [], (0, len(pairs)), None, (1.0, 1.0), 1, audit=audit)
        verdict = evaluate_gate(evidence, GateSettings(), seed)
        yield CandidateResult(name, answered, float(np.mean(gains)), float(np.mean(gains[known])), verdict)


def _write_paired_scores(
    labels: WindowLabels, scores: Floats, reviewed: Any, known: Any, directory: Path
) -> tuple[AnsweredShare, list[PairedScore]]:
    """Return the scores that the gate reads from a dataset with the known labels. Each label here holds both scores."""
    features, declaration = tensors.encode({"x": np.zeros(1, np.float32)})
    rows = [
        dict.fromkeys(dataset.SCHEMA.names)
        | {
            "prediction_id": str(number),
            "entity": str(number),
            "time": START,
            "split": "test",
            "features": features,
            "tensors": declaration,
            "label": json.dumps({"candidate": scores[number], "champion": labels.scores[number]})
            if known[number]
            else None,
            "selection": "audit" if labels.audited[number] else "volunteer",
            "selection_probability": AUDIT_SHARE if labels.audited[number] else None,
            "audit_answered": bool(reviewed[number]) if labels.audited[number] else None,
        }
        for number in np.flatnonzero(labels.audited | known).tolist()
    ]
    with dataset.DatasetWriter(directory / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    audit = held_out_audit(directory, GateSettings().min_answered_share)
    examples = held_out_examples(directory, [], audit)
    return audit.share, [PairedScore(weight=example.weight, **example.label) for example in examples]


def markdown(streams: Sequence[Sequence[WindowResult]], candidates: Sequence[CandidateResult]) -> str:
    """Return two tables: the phases over all streams, and the candidates."""
    windows = [window for stream in streams for window in stream]
    covered = np.mean([window.interval[0] <= window.truth <= window.interval[1] for window in windows])
    plain, weighted = (
        np.mean([abs(getattr(window, name) - window.truth) for window in windows]) for name in ("plain", "weighted")
    )
    return "\n".join(
        [
            "| phase | truth | plain average | weighted | trigger fires | by the plain average |",
            "|---|---:|---:|---:|---:|---:|",
            *(_row(phase.name, streams) for phase in PHASES),
            "",
            f"Mean absolute error: plain {plain:.4f}, weighted {weighted:.4f}; in its interval: {covered:.1%}.",
            "",
            "| candidate | audit answered | true gain | on all labels | by the gate | passes |",
            "|---|---:|---:|---:|---:|---:|",
            *(_candidate(name, share, candidates) for share in ANSWERED_SHARES for name in ("better", "worse")),
        ]
    )


def _row(phase: str, streams: Sequence[Sequence[WindowResult]]) -> str:
    phase_streams = [[window for window in stream if window.phase == phase] for stream in streams]
    windows = [window for stream in phase_streams for window in stream]
    means = np.mean([[window.truth, window.plain, window.weighted] for window in windows], axis=0)
    fired = [
        sum(any(window.fires for window in stream) for stream in phase_streams),
        sum(any(window.plain_fires for window in stream) for stream in phase_streams),
    ]
    return _cells(phase, [f"{mean:.3f}" for mean in means], [f"{count} of {len(streams)}" for count in fired])


def _candidate(name: str, share: float, candidates: Sequence[CandidateResult]) -> str:
    results = [candidate for candidate in candidates if (candidate.name, candidate.answered) == (name, share)]
    means = [f"{mean:+.3f}" for mean in np.mean([[result.truth, result.plain] for result in results], axis=0)]
    judged = [result.verdict.metrics["improvement"] for result in results if "improvement" in result.verdict.metrics]
    by_gate = f"{np.mean(judged):+.3f}" if judged else "refused"
    passed = sum(result.verdict.passed for result in results)
    return _cells(name, [f"{share:.0%}", *means, by_gate], [f"{passed} of {len(results)}"])


def _cells(name: str, figures: Sequence[str], counts: Sequence[str]) -> str:
    return f"| {' | '.join([name, *figures, *counts])} |"


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Simulated streams, and candidates of each kind.")] = 10,
    each: Annotated[int, typer.Option(min=2, help="Windows of each phase.")] = 8,
) -> None:
    """Simulate, and print both tables."""
    streams = [list(simulate_windows(seed, each)) for seed in range(seeds)]
    candidates = [
        candidate
        for share in ANSWERED_SHARES
        for seed in range(seeds)
        for candidate in evaluate_candidates(seed, share)
    ]
    Console(soft_wrap=True, highlight=False).print(markdown(streams, candidates), markup=False)


if __name__ == "__main__":
    typer.run(main)
