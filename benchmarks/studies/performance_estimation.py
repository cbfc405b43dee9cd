"""Compare estimates of quality without labels: `python -m benchmarks.studies.performance_estimation`.

For each task, on its held-out set and on a source that the shipped version is bad at. Windows mix both; what is
labelled is of the usual alone, as an audit of windows before. The truth is the mean score of a window.
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
"""Of the drifted source in a window."""
LABELLED_COUNT, PREDICTION_COUNT = 200, 500


@dataclass(frozen=True)
class ScoredPredictions:
    """What was said of samples, each array (samples,)."""

    confidences: Floats
    scores: Floats

    @classmethod
    def predict(cls, task: Task, model: bytes, samples: Sequence[Sample]) -> "ScoredPredictions":
        """By a model in ONNX."""
        judged = judge(session(model), task, samples)
        scores = [task.score(one.decoded.output, one.sample.correction) for one in judged]
        return cls(np.array([one.decoded.confidence for one in judged]), np.array(scores))


@dataclass(frozen=True)
class EstimationError:
    """One estimate of one window."""

    task: str
    share: float
    estimator: str
    truth: float
    estimate: float


def measure_errors(
    task: str, usual: ScoredPredictions, drifted: ScoredPredictions, windows: int, seed: int
) -> Iterator[EstimationError]:
    """So many windows of each share. Half of the usual is labelled, or may be; of the other half windows are made."""
    random = np.random.default_rng(seed)
    for _ in range(windows):
        known, rest = np.array_split(random.permutation(len(usual.scores)), 2)
        chosen = known[:LABELLED_COUNT]
        labelled = LabelledScores(usual.confidences[chosen], usual.scores[chosen], np.ones(len(chosen)))
        for share in DRIFTED_SHARES:
            moved = random.choice(len(drifted.scores), round(share * PREDICTION_COUNT))
            same = random.choice(rest, PREDICTION_COUNT - len(moved))
            confidences = np.concatenate([usual.confidences[same], drifted.confidences[moved]])
            truth = float(np.mean(np.concatenate([usual.scores[same], drifted.scores[moved]])))
            for name, estimator in ESTIMATORS.items():
                yield EstimationError(task, share, name, truth, estimator(labelled, confidences))


def markdown(found: Sequence[EstimationError]) -> str:
    """A row for each task and share: the truth, and each estimator's mean absolute error."""
    lines = [f"| task | drifted | truth | {' | '.join(ESTIMATORS)} |", "|---|---:|---:|" + "---:|" * len(ESTIMATORS)]
    for task, share in sorted({(one.task, one.share) for one in found}):
        mine = [one for one in found if (one.task, one.share) == (task, share)]
        lines.append(f"| `{task}` | {share:.0%} | {np.mean([one.truth for one in mine]):.3f} | {_cells(mine)} |")
    return "\n".join([*lines, f"| all | | | {_cells(found)} |"])


def _cells(found: Sequence[EstimationError]) -> str:
    means = [np.mean([abs(one.estimate - one.truth) for one in found if one.estimator == name]) for name in ESTIMATORS]
    return " | ".join(f"{mean:.3f}" for mean in means)


def main(
    samples: Annotated[int, typer.Option(min=10, help="Of each drifted source.")] = 200,
    windows: Annotated[int, typer.Option(min=1, help="Of each task and share.")] = 50,
    task: Annotated[list[str] | None, typer.Option(help="Repeat it; without, all.")] = None,
) -> None:
    """Predict, estimate, and print the mean absolute errors."""
    found = list[EstimationError]()
    for name in task or SOURCES:
        source, model = SOURCES[name], (CHECKOUT / "models" / name / "versions/1/model.onnx").read_bytes()
        one = source.task(0.0)
        usual, drifted = (
            ScoredPredictions.predict(one, model, list(one.held_out())),
            ScoredPredictions.predict(one, model, source.samples(samples, 1, 0).tested),
        )
        found += measure_errors(name, usual, drifted, windows, 0)
    Console(soft_wrap=True, highlight=False).print(markdown(found), markup=False)


if __name__ == "__main__":
    typer.run(main)
