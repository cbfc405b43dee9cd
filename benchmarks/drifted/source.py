"""What a source is that a shipped model is bad at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.base import EvaluatedSample, Sample, Task


class Drawn(NamedTuple):
    """Samples to measure on, and samples that people say something of: none is both."""

    tested: list[Sample]
    logged: list[Sample]


@dataclass(frozen=True)
class Source:
    """How samples are made, the same for the same seed, and judged."""

    task: Callable[[float], Task]
    """By the share of outputs that are drawn."""
    samples: Callable[[int, int, int], Drawn]
    """By how many are tested, how many logged, and the seed."""
    reward: Callable[[Mapping[str, Any], Mapping[str, Any]], float]
    """What a person would say of an output, given the truth: from -1 to 1."""
    error: Callable[[Sequence[EvaluatedSample]], float]
    error_name: str
