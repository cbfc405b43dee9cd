"""The gate's evidence: measurements of candidate and champion on held-out outcomes and on the original test set."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from app.evaluation.held_out import held_out_samples, make_prediction_input
from app.evaluation.held_out_scores import LabelledExample, held_out_audit, held_out_examples, score_version
from app.events.base import ModelRef
from app.events.model_events import Backtest
from app.inference.local_model import LocalModel
from app.inference.predictor import Predictor
from app.retraining.pipeline.gate import GateEvidence, PairedScore, too_few_outcomes
from app.retraining.pipeline.gate_rewards import any_inputs, gather_reward_evidence, missing_rewards
from app.settings.gate import MIN_ANSWERED_SHARE, GateSettings
from models.base import Asked, OnStep, Task
from models.manifest import total_bytes

_TIMED_PREDICTIONS = 50
"""The number of single predictions that measure the latency."""


@dataclass(frozen=True)
class VersionPair:
    """Two versions of a task's model, as `model.onnx` files."""

    task: Task
    candidate: Path
    champion: Path
    first: Path | None = None
    """Version 1, whose score on the original test set must not be forgotten; None if it is the champion."""


def gather_gate_evidence(
    pair: VersionPair,
    dataset: Path,
    slices: Sequence[str],
    history: Backtest,
    on_step: OnStep,
    min_answered_share: float = MIN_ANSWERED_SHARE,
    earlier_evaluations: Sequence[datetime] = (),
    candidates: int = 1,
) -> GateEvidence:
    """Measure both versions. The candidate's backtest, `history`, gives the unanswered predictions.

    Raises `Untrainable` if the dataset can't be read.
    """
    task = pair.task
    audit = held_out_audit(dataset, min_answered_share)
    outcomes = list(held_out_examples(dataset, slices, audit))
    on_step("held-out outcomes", 0, None)
    outcome_scores = list(zip(*_score_both(pair, outcomes), strict=True))
    on_step("original test set", 0, None)
    examples = list(_original_examples(task))
    original = list(zip(*_score_both(pair, examples), strict=True))
    first_scores = score_version(task, pair.first, examples) if pair.first else []
    on_step("latency", 0, None)
    return GateEvidence(
        pairs=[
            PairedScore(
                *scores,
                outcome.weight,
                outcome.slices or {},
                outcome.entity,
                outcome.time,
                outcome.prediction_input.prediction_id,
            )
            for outcome, scores in zip(outcomes, outcome_scores, strict=True)
        ],
        original_scores=original,
        unanswered=(history.unanswered, history.rows),
        off_policy=gather_reward_evidence(task, dataset, pair.candidate, pair.champion, on_step),
        latency_ms=_median_latencies(
            pair,
            [outcome.prediction_input for outcome in outcomes[:_TIMED_PREDICTIONS]]
            or any_inputs(dataset, _TIMED_PREDICTIONS),
        ),
        size_bytes=total_bytes(pair.candidate),
        audit=audit.share,
        first_scores=first_scores,
        earlier_evaluations=earlier_evaluations,
        candidates=candidates,
    )


def missing_evidence(task: Task, champion: Path, dataset: Path, bounds: GateSettings, on_step: OnStep) -> str | None:
    """Return why any candidate of this dataset would be refused: too few held-out outcomes and rewards. None if not.

    Raises `Untrainable` if the dataset can't be read.
    """
    on_step("held-out outcomes", 0, None)
    audit = held_out_audit(dataset, bounds.min_answered_share)
    count = sum(1 for _ in held_out_examples(dataset, (), audit))
    too_few = too_few_outcomes(count, bounds, audit.share)
    if too_few is None or (missing := missing_rewards(task, dataset, champion, on_step)) is None:
        return None
    return f"{too_few} {missing}".strip()


def _original_examples(task: Task) -> Iterator[LabelledExample]:
    for sample in held_out_samples(task):
        yield LabelledExample(make_prediction_input(task, sample), sample.correction)


def _score_both(pair: VersionPair, examples: Sequence[LabelledExample]) -> tuple[list[float], list[float]]:
    """Return the scores of candidate and champion."""
    return score_version(pair.task, pair.candidate, examples), score_version(pair.task, pair.champion, examples)


def _median_latencies(pair: VersionPair, inputs: Sequence[Asked]) -> tuple[float, float]:
    """Return the median latency of one prediction by each version, in milliseconds.

    They take turns, so that other processes slow both.
    """
    if not inputs:
        return 0.0, 0.0
    return asyncio.run(_measure_latencies(pair, inputs))


async def _measure_latencies(pair: VersionPair, inputs: Sequence[Asked]) -> tuple[float, float]:
    predictors = [Predictor(pair.task, LocalModel(path), 1) for path in (pair.candidate, pair.champion)]
    times: tuple[list[float], list[float]] = [], []
    model = ModelRef(name=pair.task.name, version="0")
    for prediction_input in (inputs[0], *inputs):  # the first one warms up
        for predictor, latencies in zip(predictors, times, strict=True):
            started = time.perf_counter()
            await predictor(model, [prediction_input])
            latencies.append((time.perf_counter() - started) * 1000)
    candidate, champion = (median(latencies[1:]) for latencies in times)
    return candidate, champion
