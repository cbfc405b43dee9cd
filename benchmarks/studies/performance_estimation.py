"""Compare estimates of quality without labels: `python -m benchmarks.studies.performance_estimation`.

Windows mix a task's held-out set with a source that the shipped version is bad at. Labels are of the held-out set only,
as from an audit of earlier windows. The truth is the mean score of a window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from app.monitoring.performance_estimation import (
    Estimator,
    LabelledScores,
    average_confidence,
    average_thresholded_confidence,
    difference_of_confidences,
)
from app.settings import CHECKOUT
from benchmarks.studies.drifted import SOURCES
from models.base import Sample, Task
from models.nn.onnx_inference import judge, session
from models.off_policy import Floats

ESTIMATORS: dict[str, Estimator] = {
    "average confidence": average_confidence,
    "difference of confidences": difference_of_confidences,
    "average thresholded confidence": average_thresholded_confidence,
}
DRIFTED_SHARES = (0.0, 0.25, 0.5, 1.0)
"""Shares of the drifted source in a window."""
LABELLED_COUNT, PREDICTION_COUNT = 200, 500


@dataclass(frozen=True)
class ScoredPredictions:
    """The predictions of samples, each array (samples,)."""

    confidences: Floats
    scores: Floats

    @classmethod
    def predict(cls, task: Task, model: bytes, samples: Sequence[Sample]) -> "ScoredPredictions":
        """Predict samples by an ONNX model."""
        results = judge(session(model), task, samples)
        scores = [task.score(result.decoded.output, result.sample.correction) for result in results]
        return cls(np.array([result.decoded.confidence for result in results]), np.array(scores))


@dataclass(frozen=True)
class EstimationError:
    """An estimate of a window, and the truth."""

    task: str
    share: float
    estimator: str
    truth: float
    estimate: float


def measure_errors(
    task: str, baseline: ScoredPredictions, drifted: ScoredPredictions, windows: int, seed: int
) -> Iterator[EstimationError]:
    """Yield the estimates of `windows` windows of each share. Labels come from one half of the baseline, windows from
    the other.
    """
    random = np.random.default_rng(seed)
    for _ in range(windows):
        label_pool, window_pool = np.array_split(random.permutation(len(baseline.scores)), 2)
        audited = label_pool[:LABELLED_COUNT]
        labelled = LabelledScores(baseline.confidences[audited], baseline.scores[audited], np.ones(len(audited)))
        for share in DRIFTED_SHARES:
            drifted_rows = random.choice(len(drifted.scores), round(share * PREDICTION_COUNT))
            baseline_rows = random.choice(window_pool, PREDICTION_COUNT - len(drifted_rows))
            confidences = np.concatenate([baseline.confidences[baseline_rows], drifted.confidences[drifted_rows]])
            scores = np.concatenate([baseline.scores[baseline_rows], drifted.scores[drifted_rows]])
            truth = float(np.mean(scores))
            for name, estimator in ESTIMATORS.items():
                yield EstimationError(task, share, name, truth, estimator(labelled, confidences))


def markdown(errors: Sequence[EstimationError]) -> str:
    """Return a table with a row for each task and share: the truth, and each estimator's mean absolute error."""
    lines = [f"| task | drifted | truth | {' | '.join(ESTIMATORS)} |", "|---|---:|---:|" + "---:|" * len(ESTIMATORS)]
    for task, share in sorted({(error.task, error.share) for error in errors}):
        group = [error for error in errors if (error.task, error.share) == (task, share)]
        truth = np.mean([error.truth for error in group])
        lines.append(f"| `{task}` | {share:.0%} | {truth:.3f} | {_cells(group)} |")
    return "\n".join([*lines, f"| all | | | {_cells(errors)} |"])


def _cells(errors: Sequence[EstimationError]) -> str:
    means = [
        np.mean([abs(error.estimate - error.truth) for error in errors if error.estimator == name])
        for name in ESTIMATORS
    ]
    return " | ".join(f"{mean:.3f}" for mean in means)


def main(
    samples: Annotated[int, typer.Option(min=10, help="Samples of each drifted source.")] = 200,
    windows: Annotated[int, typer.Option(min=1, help="Windows of each task and share.")] = 50,
    task: Annotated[list[str] | None, typer.Option(help="A task; repeat it for several. Default: all.")] = None,
) -> None:
    """Predict, estimate, and print the mean absolute errors."""
    errors = list[EstimationError]()
    for name in task or SOURCES:
        source, model = SOURCES[name], (CHECKOUT / "models/small" / name / "versions/1/model.onnx").read_bytes()
        instance = source.task(0.0)
        baseline = ScoredPredictions.predict(instance, model, list(instance.held_out()))
        drifted = ScoredPredictions.predict(instance, model, source.samples(samples, 1, 0).tested)
        errors += measure_errors(name, baseline, drifted, windows, 0)
    Console(soft_wrap=True, highlight=False).print(markdown(errors), markup=False)


if __name__ == "__main__":
    typer.run(main)
