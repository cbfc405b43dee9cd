"""What a task is: the one interface between a kind of model and everything that carries, serves or trains it.

A task is pure: no Kafka, Faust, Flink or FastAPI. The same methods are called by the Flink job, the inference
agent, the batch command and the API, so online and offline results are the same by construction.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Features = dict[str, NDArray[Any]]
"""The named tensors of one event, without a batch dimension."""

Shapes = dict[str, tuple[int, ...]]


class Rejected(ValueError):
    """An input that can never be processed, with the reason an application's developer needs to put it right.

    `code` is short and stable (a metric label), the message says what is wrong and what would be right.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Decoded:
    """What a model's outputs say for one event.

    `confidence` is the calibrated probability of being right; `propensity` the probability with which the serving
    policy emits this output: 1.0 when it is the argmax.
    """

    output: dict[str, Any]
    confidence: float
    propensity: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A real payload with its truth, for demonstrations and tests."""

    name: str
    payload: bytes
    content_type: str
    correction: dict[str, Any]


class Task(ABC):
    """One kind of model: from payload to features, from outputs to a prediction, from a correction to a score."""

    name: ClassVar[str]
    preprocess_version: ClassVar[str]
    """Changes whenever `preprocess` makes other features of the same payload."""
    max_payload_bytes: ClassVar[int] = 4 * 1024 * 1024

    @abstractmethod
    def preprocess(self, payload: bytes) -> Features:
        """The features of one payload. Deterministic. Raises `Rejected` for what can't be read."""

    def padded(self, shapes: Shapes) -> Shapes:
        """The shapes that features are zero-padded to (at the end of each axis) before they share a batch.

        Events with equal padded shapes form one batch; coarser steps make fuller batches and more padding.
        """
        return shapes

    @abstractmethod
    def decode(self, outputs: Mapping[str, NDArray[Any]]) -> list[Decoded]:
        """Predictions of a batch from the model's named outputs, the batch in the first dimension."""

    @abstractmethod
    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """The correction in canonical form, of the shape of `Decoded.output`. Raises `Rejected`."""

    @abstractmethod
    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """How good the output is, given the correction: 1.0 is perfect, 0.0 worthless."""

    @abstractmethod
    def samples(self) -> Sequence[Sample]:
        """A few real payloads that ship with the task."""

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """An endless stream of payloads for `make run`; by default the shipped samples over and over."""
        samples = self.samples()
        rng = np.random.default_rng(seed)
        while True:
            yield samples[int(rng.integers(len(samples)))]
