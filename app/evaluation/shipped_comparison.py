"""Comparison of a model under trial with the shipped version, by their answers to the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.errors import SetupError
from app.evaluation.scoring import score
from app.evaluation.trial_answers import Answer, answer_alone
from app.inference.local_model import LocalModel
from app.registry.shipped import shipped_versions
from models.base import Asked, Sample, Task

_CHECK_WEIGHTS = "Check that its weights are those of the training, and the order of its classes and outputs."


@dataclass(frozen=True)
class TrialResult:
    """How many samples a model answered, its mean score on them, and that of the shipped version.

    A score is None without samples, or without a shipped version that answers them.
    """

    samples: int
    score: float | None
    shipped_score: float | None


def describe_trial(result: TrialResult) -> str:
    """Return the result in a sentence."""
    if not result.samples:
        return "The task has no samples: the model was only loaded."
    shipped = "" if result.shipped_score is None else f", that of the shipped version {result.shipped_score:.3f}"
    return f"The model answered {result.samples} samples, alone and in batches: mean score {result.score:.3f}{shipped}."


async def answer_with_shipped(task: Task, samples: Sequence[Sample], inputs: Sequence[Asked]) -> list[Answer]:
    """Return the answers of the newest shipped version; none if it takes other inputs, as of another schema."""
    paths = list(shipped_versions(task).values())
    try:
        shipped = [LocalModel(path) for path in paths[-1:]]
        pairs = list(zip(samples, inputs, strict=True))
        return [await answer_alone(task, model, sample, one) for model in shipped for sample, one in pairs]
    except SetupError:
        return []


def compare_sizes(answers: Sequence[Answer], shipped: Sequence[Answer]) -> None:
    """Refuse another last dimension where the shipped version has one size for all samples: its classes."""
    for name in shipped[0].outputs if len(shipped) > 1 else ():
        needed = {answer.outputs[name].shape[-1:] for answer in shipped}
        sizes = {answer.outputs[name].shape[-1:] for answer in answers if name in answer.outputs}
        if len(needed) == 1 and (other := sizes - needed):
            raise SetupError(
                f"The last dimension of the output {name} has the size {other.pop()[0]}; needed is {needed.pop()[0]}.",
                "Export it with the classes of the shipped version, in their order, in the last dimension.",
            )


def compare_scores(
    task: Task, samples: Sequence[Sample], answers: Sequence[Answer], shipped: Sequence[Answer]
) -> TrialResult:
    """Return the mean scores. Refuse answers that are all worthless or all equal, unlike the shipped version's."""

    def mean_score(given: Sequence[Answer]) -> float | None:
        pairs = zip(samples, given, strict=True)
        scores = [score(task, answer.prediction.output, sample.correction) for sample, answer in pairs]
        return float(np.mean(scores))

    result = TrialResult(
        len(samples), mean_score(answers) if answers else None, mean_score(shipped) if shipped else None
    )
    if len(samples) > 1 and result.score == 0 and result.shipped_score:
        raise SetupError(
            f"All {len(samples)} samples are answered wrongly: the mean score is 0, that of the shipped version "
            f"{result.shipped_score:.3f}.",
            _CHECK_WEIGHTS,
        )
    if _are_equal(answers) and shipped and not _are_equal(shipped):
        raise SetupError(
            f"All {len(samples)} samples have the same answer: {str(answers[0].prediction.output)[:200]}.",
            _CHECK_WEIGHTS,
        )
    return result


def _are_equal(answers: Sequence[Answer]) -> bool:
    return len(answers) > 1 and all(answer.prediction.output == answers[0].prediction.output for answer in answers)
