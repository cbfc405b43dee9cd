"""The definition of a source on which a shipped model is bad."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.base import EvaluatedSample, Sample, Task


class SourceSamples(NamedTuple):
    """Samples on which errors are measured, and other samples for which people give feedback."""

    tested: list[Sample]
    logged: list[Sample]


@dataclass(frozen=True)
class DriftedSource:
    """A source: how its samples are drawn, the same for the same seed, and scored."""

    task: Callable[[float], Task]
    """Make the task, given the share of explored outputs."""
    samples: Callable[[int, int, int], SourceSamples]
    """Draw samples, given the numbers of tested and of logged ones, and the seed."""
    reward: Callable[[Mapping[str, Any], Mapping[str, Any]], float]
    """Return the reward that a person would give, from -1 to 1, given an output and the truth."""
    error: Callable[[Sequence[EvaluatedSample]], float]
    error_name: str
