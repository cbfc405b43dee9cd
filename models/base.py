"""The interface of a task: everything that carries, serves or trains a kind of model uses it alone.

A task is pure: no Kafka, Faust, Flink or FastAPI. The same methods are called by the Flink job, the inference
agent, the batch command and the API, so online and offline results are the same by construction.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.input_statistics import of_tensors

Features = dict[str, NDArray[Any]]
"""The named tensors of one event, without a batch dimension."""

Shapes = dict[str, tuple[int, ...]]


class Rejected(ValueError):
    """An input that can never be processed, with a reason that helps the application's developer to correct it.

    `code` is short and stable (a metric label), the message says what is wrong and what would be right.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Untrainable(Exception):
    """The task can't be trained, or not from this dataset; the message says why and what would help."""


@dataclass(frozen=True)
class Asked:
    """One event of a batch, as `Task.decode` needs it: all its features, and the id of its prediction."""

    prediction_id: str
    features: Features

    def rng(self) -> np.random.Generator:
        """Return the random generator of this prediction; a repeated prediction draws the same."""
        return np.random.default_rng(int.from_bytes(hashlib.sha256(self.prediction_id.encode()).digest()[:16]))


@dataclass(frozen=True)
class Decoded:
    """The prediction for one event, decoded from the model's outputs.

    `confidence` is the calibrated probability of being right; `propensity` the probability with which the serving
    policy emits this output: 1.0 when it is the argmax.
    """

    output: dict[str, Any]
    confidence: float
    propensity: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A real payload with its truth, for demonstrations, tests and evaluation.

    `group` names the part of a held-out set that it belongs to, such as `unseen_fonts`.
    """

    name: str
    payload: bytes
    content_type: str
    correction: dict[str, Any]
    group: str = ""


@dataclass(frozen=True)
class EvaluatedSample:
    """A sample with its prediction."""

    sample: Sample
    decoded: Decoded


@dataclass(frozen=True)
class Trained:
    """A new version: its ONNX file, or its manifest and files, and its card (data, seed, plan, figures) as JSON.

    `files` are those that the manifest lists and the parent does not have: only what changed.
    """

    model: bytes
    card: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


OnStep = Callable[[str, int, int | None], None]
"""A callback of a training's progress: what it does, the steps done, and of how many, if that is known."""


class Task(ABC):
    """One kind of model: from payload to features, from outputs to a prediction, from a correction to a score.

    An instance is made of nothing but its options, the keywords of its `__init__` (HINDSIGHT_TASK_OPTIONS).
    """

    name: ClassVar[str]
    preprocess_version: ClassVar[str]
    """Changes whenever `preprocess` returns other features for the same payload."""
    max_payload_bytes: ClassVar[int] = 4 * 1024 * 1024
    trainer: ClassVar[str | None] = None
    """`module:function` that fits a new version, see `models.training.Trainer`; None for a task that only predicts."""
    off_policy_evaluator: ClassVar[str | None] = None
    """`module:function` that values versions by logged rewards, see `models.training.OffPolicyEvaluator`.

    None for a task whose outputs are not drawn with a known propensity.
    """
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The least and the greatest `score`. Rewards are from -1 to 1 in every task."""
    error_name: ClassVar[str] = "error"
    """What the field calls 1 - `score`, such as CER."""
    near_bound: ClassVar[int] = 0
    """The greatest difference between values of two `near_key`s at which both inputs count as nearly equal."""
    review_editor: ClassVar[str | None] = None
    """`module:Class` of the task's own editor on the review page, an `app.pages.review.editors.Editor`.

    None for one of the platform's, chosen by the form of the output: `text`, `boxes`, `action`, or any JSON.
    """

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Return the payload of a live session from its chunks, in their order; by default they are joined as they are.

        A payload with a header, such as a WAV's with a length, may need another. Raises `Rejected`.
        """
        return b"".join(chunks)

    @abstractmethod
    def preprocess(self, payload: bytes) -> Features:
        """Return the features of one payload. Deterministic. Raises `Rejected` for what can't be read."""

    def inputs(self, features: Features) -> Features:
        """Return the features that the model takes; by default all. The rest is for `decode` alone."""
        return features

    def padded(self, shapes: Shapes) -> Shapes:
        """Return the shapes that the model's inputs are zero-padded to, at the end of each axis, to share a batch.

        Events with equal padded shapes form one batch; coarser steps make fuller batches and more padding.
        """
        return shapes

    def summary(self, features: Features) -> dict[str, float]:
        """Return a few numbers of an event, by name, to detect input drift; see `models.input_statistics`."""
        return of_tensors(self.inputs(features))

    def unknown_values(self, features: Features) -> Mapping[str, int]:
        """Return how many values of an event the model does not know, by feature, of few names. By default none."""
        return {}

    def classes(self, output: Mapping[str, Any]) -> Sequence[str]:
        """Return the classes that an output or a correction names, each as often as it does; by default none."""
        return ()

    def labels(self) -> Sequence[str]:
        """Return the labels that an output may use, in the order in which an editor offers them; by default none."""
        return ()

    @abstractmethod
    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return a batch's predictions, in order, from the model's named outputs, the batch in the first dimension."""

    def at_minimum_propensity(self, decoded: Decoded) -> bool:
        """Return whether the policy gives this output its minimum probability; never for a deterministic policy."""
        return False

    def near_key(self, features: Features, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        """Return values by which the copies of an input can be told, such as the same picture encoded otherwise.

        No value of two copies may differ by more than `near_bound`; of inputs with other answers, however alike, some
        must. None, the default, where that can't be told: then only an equal input is answered by a correction. At most
        8,192 values; `output` is the model's.
        """
        return None

    @abstractmethod
    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return the correction in canonical form, of the shape of `Decoded.output`. Raises `Rejected`."""

    @abstractmethod
    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return how good the output is, given the correction: 1.0 is perfect, 0.0 worthless."""

    @abstractmethod
    def samples(self) -> Sequence[Sample]:
        """Return a few real payloads that ship with the task."""

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Yield an endless stream of payloads for `make run`, empty where there is nothing to show.

        By default the shipped samples over and over.
        """
        samples = self.samples()
        rng = np.random.default_rng(seed)
        while samples:
            yield samples[int(rng.integers(len(samples)))]

    def drifted(self, seed: int) -> Iterator[Sample]:
        """Yield payloads without end from a source that the shipped version is bad at; none where there is none."""
        return iter(())

    def reward(self, sample: Sample, output: Mapping[str, Any], rng: np.random.Generator) -> float | None:
        """Return an application's reward of a served output, from -1 to 1; None where it sends corrections instead.

        Only for what `samples`, `demonstration` and `held_out` yield. `rng` draws what chance decides, such as a click.
        """
        return None

    def held_out(self) -> Iterator[Sample]:
        """Yield what no training ever sees: the set that a model card's figures are measured on. By default empty."""
        return iter(())

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return the figures of a held-out set, by name; by default the mean score of each group."""
        scores: dict[str, list[float]] = {}
        for evaluated in judged:
            scores.setdefault(evaluated.sample.group, []).append(
                self.score(evaluated.decoded.output, evaluated.sample.correction)
            )
        return {f"score_{group}".strip("_"): float(np.mean(values)) for group, values in sorted(scores.items())}
