"""What tensors come to: a few numbers of an event, by which drift of its inputs is seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Of each tensor its mean, its standard deviation and its number of elements; of a single number that itself."""
    found: dict[str, float] = {}
    for name, tensor in tensors.items():
        if tensor.size == 1:
            found[name] = float(tensor.item())
        elif tensor.size:
            found |= {f"{name}.mean": float(tensor.mean()), f"{name}.std": float(tensor.std())}
            found[f"{name}.size"] = float(tensor.size)
    return found


def finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Those that are numbers, to six digits: an event is to stay small."""
    return {name: float(f"{value:.6g}") for name, value in numbers.items() if np.isfinite(value)}
