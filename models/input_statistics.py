"""A few statistics of an event's tensors, by which drift of the inputs is detected."""

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
            statistics |= {f"{name}.mean": float(tensor.mean()), f"{name}.std": float(tensor.std())}
            statistics[f"{name}.size"] = float(tensor.size)
    return statistics


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the finite numbers, rounded to six digits to keep events small."""
    return {name: float(f"{value:.6g}") for name, value in numbers.items() if np.isfinite(value)}
