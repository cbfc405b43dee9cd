"""The last layer of a frozen CTC network as a network of its own, of which a few classes are open to learning.

An alphabet of 18,708 symbols costs 18,708 scores a frame, though corrections name a few dozen of them. So the scores of
all other classes stay as they are, and count as one class more, the rest: its score is the logarithm of the sum of
their exponentials, computed once for each frame. The loss is exact, for these scores don't change, and what is not open
can't be forgotten, but for being outdone by what is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats, LinearLayer, updated
from models.nn.convolution import Parameters

LEAST_PROBABILITY = 1e-3
"""A class that is so probable in a frame of the feedback is one of those that are taken for another there."""
_CHUNK = 512
"""Frames that are scored at a time: 37 MB of 18,708 symbols."""


def probable_classes(layer: LinearLayer, features: Sequence[Floats]) -> set[int]:
    """Return the classes that are probable in any frame of some lines' features, (frames, features) each."""
    found: set[int] = set()
    for scores in _scores(layer, features):
        least = _log_sum(scores) + np.float32(np.log(LEAST_PROBABILITY))
        found.update(np.flatnonzero((scores >= least[:, None]).any(axis=0)).tolist())
    return found


@dataclass(frozen=True, eq=False)
class OpenHead:
    """A CTC network (`models.nn.ctc_network`) whose signals are a frozen network's features, and the rest's score.

    Its only parameters are what is added to weights and biases of the open `classes`, in rising order, the blank
    first; the last class is the rest.
    """

    layer: LinearLayer
    classes: NDArray[np.int64]
    time_stride: int = 1

    @classmethod
    def of(cls, layer: LinearLayer, classes: Collection[int]) -> "OpenHead":
        """Return the head with these classes open, and the blank."""
        return cls(layer, np.array(sorted({0, *classes}), np.int64))

    @property
    def height(self) -> int:
        """Return the height of the signals."""
        return len(self.layer.weights) + 1

    @cached_property
    def places(self) -> Mapping[int, int]:
        """Return the number of each open class among them."""
        return {one: place for place, one in enumerate(self.classes.tolist())}

    def initial(self) -> Parameters:
        """Return the parameters that add nothing."""
        return [(jnp.zeros((len(self.layer.weights), len(self.classes))), jnp.zeros(len(self.classes)))]

    def signals(self, features: Sequence[Floats]) -> list[Floats]:
        """Return the signals (height, frames) of lines' features, (frames, features) each."""
        rest = []
        for scores in _scores(self.layer, features):
            scores[:, self.classes] = -np.inf
            rest.append(_log_sum(scores))
        ends = np.cumsum([len(line) for line in features])[:-1]
        parts = np.split(np.concatenate(rest), ends) if features else []
        return [np.vstack((line.T, part)).astype(np.float32) for line, part in zip(features, parts, strict=True)]

    def frames(self, widths: jax.Array) -> jax.Array:
        """Return how many frames count for signals of these widths: all."""
        return widths

    def logits(self, parameters: Parameters, signal: jax.Array, widths: jax.Array) -> jax.Array:
        """Return the scores of open classes and the rest, (batch, frames, classes), of (batch, height, frames)."""
        return self.scores(parameters, jnp.swapaxes(signal, 1, 2))

    def scores(self, parameters: Parameters, frames: jax.Array) -> jax.Array:
        """Return the same of frames (..., height)."""
        [(weights, bias)] = parameters
        open_weights, open_bias = self.layer.weights[:, self.classes], self.layer.bias[self.classes]
        scores = frames[..., :-1] @ (open_weights + weights) + open_bias + bias
        return jnp.concatenate((scores, frames[..., -1:]), axis=-1)

    def merged(self, parameters: Parameters) -> LinearLayer:
        """Return the layer with what the parameters add."""
        [(weights, bias)] = parameters
        chosen = self.classes.tolist()
        return updated(
            self.layer,
            chosen,
            self.layer.weights[:, chosen] + np.asarray(weights),
            self.layer.bias[chosen] + np.asarray(bias),
        )


def _scores(layer: LinearLayer, features: Sequence[Floats]) -> Any:
    """Yield the scores of all frames, one line's after the other's, a chunk at a time."""
    frames = np.concatenate(features) if features else np.zeros((0, len(layer.weights)), np.float32)
    for start in range(0, len(frames), _CHUNK):
        yield layer.scores(frames[start : start + _CHUNK])


def _log_sum(scores: Floats) -> Floats:
    most = scores.max(axis=1)
    return np.asarray(most + np.log(np.exp(scores - most[:, None]).sum(axis=1)))
