"""Read lines: networks that give each frame of a line the probability of each symbol, and of none (CTC)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

BLANK = 0
"""In place of a code point: no symbol. NUL is in no text."""
ALTERNATIVES = 5
"""Symbols kept of a frame, the most probable ones."""
_LEAST_PROBABILITY = 1e-3  # of an alternative
_WIDTH_STEP = 64  # that lines are padded to
_BATCH_WIDTH = 3_200  # of all lines of a batch together: more cost memory, and are no faster on a CPU
_SPACE = " "


class Reading(NamedTuple):
    """A line's frames: the code points of each one's most probable symbols, best first, and their probabilities.

    Both (frames, `ALTERNATIVES`). The probabilities of a frame add up to 1.
    """

    symbols: NDArray[np.int32]
    probabilities: NDArray[np.float32]

    def certainty(self) -> float:
        """Return the mean probability of the frames that show a symbol, no space; 0 if none does."""
        best = self.probabilities[~np.isin(self.symbols[:, 0], (BLANK, ord(_SPACE))), 0]
        return float(best.mean()) if best.size else 0.0


class Recognizer:
    """The network: (batch, 3, 48, width) from -1 to 1 to probabilities (batch, frames, symbols).

    It may be in two files, of which the head takes what the other one returns. The symbols are in the metadata.
    Spaces are rarer in the texts that it learned from than in those that it reads: `space_weight` multiplies their
    probability (Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities",
    Neural Computation 2002).
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        head: onnxruntime.InferenceSession | None = None,
        space_weight: float = 1.0,
    ) -> None:
        """Raises `ValueError` if the network does not name its symbols."""
        self._session, self._head = session, head
        self._input = session.get_inputs()[0].name
        self.code_points = _code_points(session)
        self._space_weight = space_weight

    def read(self, lines: Sequence[NDArray[np.uint8]]) -> list[Reading]:
        """Return the reading of each line, uint8 (48, width), in order."""
        return [self._reading(probabilities) for probabilities in self.outputs(lines)]

    def outputs(self, lines: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return what the network gives for each frame of each line, in order: probabilities, if it has its head."""
        found: dict[int, NDArray[np.float32]] = {}
        for width, places in _batches([line.shape[1] for line in lines]):
            feed = np.zeros((len(places), 3, lines[places[0]].shape[0], width), np.float32)
            for row, place in enumerate(places):
                feed[row, :, :, : lines[place].shape[1]] = lines[place] / np.float32(127.5) - 1
            for place, output in zip(places, self._run(feed), strict=True):
                found[place] = output[: -(-len(output) * lines[place].shape[1] // width)]
        return [found[place] for place in range(len(lines))]

    def _run(self, feed: NDArray[np.float32]) -> NDArray[np.float32]:
        [outputs] = self._session.run(None, {self._input: feed})
        if self._head is not None:
            [outputs] = self._head.run(None, {self._head.get_inputs()[0].name: outputs})
        return np.asarray(outputs)

    def _reading(self, probabilities: NDArray[np.float32]) -> Reading:
        """Keep each frame's best symbols; their sum is 1 again."""
        frames, classes = np.nonzero(probabilities > _LEAST_PROBABILITY)
        values = probabilities[frames, classes]
        values[self.code_points[classes] == ord(_SPACE)] *= self._space_weight
        order = np.lexsort((-values, frames))
        frames, classes, values = frames[order], classes[order], values[order]
        rank = np.arange(len(frames)) - np.searchsorted(frames, frames)
        kept = rank < ALTERNATIVES
        symbols = np.zeros((len(probabilities), ALTERNATIVES), np.int32)
        best = np.zeros((len(probabilities), ALTERNATIVES), np.float32)
        symbols[frames[kept], rank[kept]] = self.code_points[classes[kept]]
        best[frames[kept], rank[kept]] = values[kept]
        best[:, 0] += best.sum(axis=1) == 0  # nothing is probable: no symbol
        return Reading(symbols, best / best.sum(axis=1, keepdims=True))


def _batches(widths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield the places of lines that share a batch, and the width that they are padded to.

    It depends on the line alone, for the network sees the padding.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for place, width in enumerate(widths):
        groups[-(-width // _WIDTH_STEP) * _WIDTH_STEP].append(place)
    for width, places in sorted(groups.items()):
        count = max(1, _BATCH_WIDTH // width)
        for start in range(0, len(places), count):
            yield width, places[start : start + count]


def _code_points(session: onnxruntime.InferenceSession) -> NDArray[np.int32]:
    """Return the code point of each class: the blank first, then the symbols of the metadata, then the space."""
    symbols = session.get_modelmeta().custom_metadata_map.get("character", "").split("\n")
    if symbols == [""]:
        raise ValueError("the recogniser does not name its symbols: its metadata need `character`, one a line")
    return np.array([BLANK, *(ord(symbol) for symbol in symbols), ord(_SPACE)], np.int32)
