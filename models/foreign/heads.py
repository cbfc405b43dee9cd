"""From the outputs of a foreign model to small tensors of one form for each kind of task.

Events cross a network after this, so a text is its best path here, and a picture its best boxes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.foreign.options import Option, Tensors
from models.runtimes import TensorSpec

Activation = Literal["none", "softmax", "sigmoid", "exp"]
"""What makes probabilities of the scores; `none` where they are some already, `exp` for their logarithms."""
_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int32)


class Head(Option, ABC):
    """How to read the outputs of a model."""

    outputs: ClassVar[Mapping[str, TensorSpec]]
    """What `read` returns."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the outputs of the model that are read."""

    @abstractmethod
    def read(self, raw: Mapping[str, Any], size: tuple[int, int]) -> Tensors:
        """Return the tensors of a batch. `size` is height and width of its pictures, if it has some."""


class ClassificationHead(Head):
    """One score for each class, (batch, classes)."""

    outputs: ClassVar[Mapping[str, TensorSpec]] = {"probabilities": TensorSpec(_FLOAT, (None, None))}
    kind: Literal["classification"] = "classification"
    scores: str
    activation: Activation = "softmax"
    keys: tuple[int | str, ...] = Field((), description="The keys of the classes, for an output of maps (ZipMap).")

    def names(self) -> list[str]:
        """Return the only output."""
        return [self.scores]

    def read(self, raw: Mapping[str, Any], size: tuple[int, int]) -> Tensors:
        """Return `probabilities`. One score of two classes is that of the second."""
        probabilities = activated(_table(raw[self.scores], self.keys), self.activation)
        if probabilities.shape[1] == 1:
            probabilities = np.concatenate((1 - probabilities, probabilities), axis=1)
        return {"probabilities": probabilities}


class ActionsHead(Head):
    """The value of each action, (batch, actions)."""

    outputs: ClassVar[Mapping[str, TensorSpec]] = {"values": TensorSpec(_FLOAT, (None, None))}
    kind: Literal["bandit"] = "bandit"
    values: str
    keys: tuple[int | str, ...] = Field((), description="The keys of the actions, for an output of maps (ZipMap).")

    def names(self) -> list[str]:
        """Return the only output."""
        return [self.values]

    def read(self, raw: Mapping[str, Any], size: tuple[int, int]) -> Tensors:
        """Return `values`."""
        return {"values": _table(raw[self.values], self.keys)}


class CtcHead(Head):
    """A score for each symbol in each frame (Graves et al., ICML 2006)."""

    outputs: ClassVar[Mapping[str, TensorSpec]] = {
        "symbols": TensorSpec(_INT, (None, None)),
        "probabilities": TensorSpec(_FLOAT, (None, None)),
    }
    kind: Literal["ctc"] = "ctc"
    scores: str
    frames_first: bool = Field(False, description="The output is (frames, batch, symbols), not (batch, frames, ...).")
    activation: Activation = "softmax"

    def names(self) -> list[str]:
        """Return the only output."""
        return [self.scores]

    def read(self, raw: Mapping[str, Any], size: tuple[int, int]) -> Tensors:
        """Return the best path: in each frame the place of the best symbol, and its probability."""
        scores = raw[self.scores].swapaxes(0, 1) if self.frames_first else raw[self.scores]
        probabilities = activated(scores, self.activation)
        return {"symbols": probabilities.argmax(axis=2).astype(np.int32), "probabilities": probabilities.max(axis=2)}


def activated(scores: NDArray[Any], activation: Activation) -> NDArray[np.float32]:
    """Return probabilities of scores (..., classes), float32."""
    scores = scores.astype(np.float32)
    if activation == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    if activation == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))  # never overflows
    return np.asarray(np.exp(scores) if activation == "exp" else scores)


def _table(output: Any, keys: tuple[int | str, ...]) -> NDArray[np.float32]:
    if keys:
        output = [[row[key] for key in keys] for row in output]
    table = np.asarray(output, np.float32)
    return table.reshape(len(table), -1)
