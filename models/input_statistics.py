"""A few statistics of an event's tensors, by which drift of the inputs is detected."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the mean, standard deviation and size of each tensor; a single number is returned as it is."""
    statistics: dict[str, float] = {}
    for name, tensor in tensors.items():
        if tensor.size == 1:
            statistics[name] = float(tensor.item())
        elif tensor.size:
            mean, deviation = _moments(tensor)
            statistics |= {f"{name}.mean": mean, f"{name}.std": deviation}
            statistics[f"{name}.size"] = float(tensor.size)
    return statistics


def _moments(tensor: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation. For bytes one pass does, because their sums are exact."""
    if tensor.dtype != np.uint8:
        return float(tensor.mean()), float(tensor.std())
    values, size = tensor.ravel().astype(np.float64), tensor.size
    total, squares = int(values.sum()), int(values @ values)
    return total / size, math.sqrt(size * squares - total * total) / size


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the finite numbers, rounded to six digits to keep events small."""
    return {name: float(f"{value:.6g}") for name, value in numbers.items() if np.isfinite(value)}
