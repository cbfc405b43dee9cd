"""Calibration of confidences: temperature scaling, and calibration error (Guo et al., ICML 2017)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def expected_calibration_error(confidences: Floats, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the mean distance between confidence and accuracy over bins of equal width, weighted by their sizes."""
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    error = 0.0
    for number in np.unique(bin_of):
        members = bin_of == number
        error += members.mean() * abs(float(confidences[members].mean()) - float(right[members].mean()))
    return error


def log_loss(confidences: Floats, right: NDArray[np.bool_]) -> float:
    """Return the mean negative log-likelihood of being right or wrong, in nats."""
    sure = np.clip(confidences, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(right, np.log(sure), np.log1p(-sure))))


def best_temperature(loss: Callable[[float], float], low: float = 0.5, high: float = 4.0, steps: int = 14) -> float:
    """Return the temperature with the least loss, by golden-section search on its logarithm."""
    ratio = (np.sqrt(5.0) - 1) / 2
    a, b = np.log(low), np.log(high)
    inner, outer = b - ratio * (b - a), a + ratio * (b - a)
    at_inner, at_outer = loss(float(np.exp(inner))), loss(float(np.exp(outer)))
    for _ in range(steps):
        if at_inner < at_outer:
            b, outer, at_outer = outer, inner, at_inner
            inner = b - ratio * (b - a)
            at_inner = loss(float(np.exp(inner)))
        else:
            a, inner, at_inner = inner, outer, at_outer
            outer = a + ratio * (b - a)
            at_outer = loss(float(np.exp(outer)))
    return float(np.exp((a + b) / 2))
