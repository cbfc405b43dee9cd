"""Figures of a version on held-out files, the same for a model card and for `hindsight evaluate`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import EvaluatedSample
from models.nn.calibration import expected_calibration_error
from models.ocr.corrections import errors

_DRAWS = 2_000


def figures(judged: Sequence[EvaluatedSample]) -> dict[str, float]:
    """Return of each group the character error rate, its 95 % interval, the share of files all right, and their number.

    And the calibration error of files whose text is one line.
    """
    groups: dict[str, list[EvaluatedSample]] = {}
    for one in judged:
        groups.setdefault(one.sample.group, []).append(one)
    values: dict[str, float] = {}
    for group, members in sorted(groups.items()):
        edits = np.array([errors(one.decoded.output, one.sample.correction) for one in members])
        low, high = interval(edits)
        named = {"cer": rate(edits), "cer_low": low, "cer_high": high, "right": float(np.mean(edits[:, 0] == 0))}
        values |= {f"{name}_{group}".strip("_"): value for name, value in (named | {"files": len(members)}).items()}
    lines = [one for one in judged if "\n" not in one.sample.correction["text"]]
    if lines:
        right = np.array([errors(one.decoded.output, one.sample.correction)[0] == 0 for one in lines])
        values["ece"] = expected_calibration_error(np.array([one.decoded.confidence for one in lines]), right)
    return values


def rate(edits: NDArray[Any]) -> float:
    """Return the character error rate of files: edits and true symbols of each, (files, 2)."""
    return float(edits[:, 0].sum() / max(1, edits[:, 1].sum()))


def interval(edits: NDArray[Any]) -> tuple[float, float]:
    """Return the 95 % interval of the character error rate, by the bootstrap over files (Efron, 1979)."""
    drawn = np.random.default_rng(0).integers(len(edits), size=(_DRAWS, len(edits)))
    rates = edits[drawn, 0].sum(axis=1) / np.maximum(1, edits[drawn, 1].sum(axis=1))
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)
