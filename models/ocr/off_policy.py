"""Off-policy evaluation of `ocr`: see `models.output_off_policy`.

An output is served with the product of the probabilities of its lines' texts. A version that finds other lines would
not have served it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import output_off_policy
from models.base import OnStep
from models.datasets import Row
from models.nn.ctc_policy import propensities
from models.nn.onnx_inference import Outputs
from models.ocr.lines import dense, displayed_polygons
from models.ocr.task import Ocr
from models.off_policy import Floats
from models.policy_value import PolicyValue


def evaluate_versions(
    task: Ocr, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        events = ({name: output[place] for name, output in outputs.items()} for place in range(len(rows)))
        return np.array([served_probability(event, row, task.explore) for event, row in zip(events, rows, strict=True)])

    return output_off_policy.evaluate_versions(task, dataset, versions, on_step, served_probabilities)


def served_probability(outputs: Mapping[str, NDArray[Any]], row: Row, explore: float) -> float:
    """Return the probability with which a version serves the row's output, given its outputs for the row's event."""
    count = np.count_nonzero(outputs["frames"])
    pages = outputs["pages"][:count]
    polygons = displayed_polygons(outputs["polygons"][:count], pages, row.features)
    served = {(line["page"], str(line["polygon"])): line["text"] for line in row.output["lines"]}
    texts = [served.pop((page, str(polygon)), "") for page, polygon in zip(pages.tolist(), polygons, strict=True)]
    if served:
        return 0.0
    return float(np.prod([1.0, *_line_probabilities(outputs, texts, explore)]))


def _line_probabilities(outputs: Mapping[str, NDArray[Any]], texts: Sequence[str], explore: float) -> Iterator[float]:
    for place, text in enumerate(texts):
        frames = outputs["frames"][place : place + 1]
        alphabet, log_probs = dense(
            outputs["symbols"][place : place + 1, : frames[0]], outputs["probabilities"][place : place + 1, : frames[0]]
        )
        classes = {int(symbol): number for number, symbol in enumerate(alphabet)}
        labels = [classes.get(ord(symbol), -1) for symbol in text]
        known = -1 not in labels
        yield float(propensities(log_probs, frames, [labels], explore, classes[ord(" ")])[0]) if known else 0.0
