"""From the frames of lines to their texts, the best ones or drawn ones, by the policy of `models.nn.ctc_policy`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import Features
from models.nn.ctc_policy import ServedLabels, serve
from models.ocr.recognition import BLANK

_CHUNK = 16
"""Lines that share an alphabet: so much memory does a long page need."""
_NEVER = 1e-30
_SPACE = ord(" ")


class ServedLine(NamedTuple):
    """The text of a line, its probability by the network, and that with which it is served."""

    text: str
    served: ServedLabels


def serve_lines(
    symbols: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    frames: NDArray[np.int32],
    explore: float,
    rng: np.random.Generator | None,
) -> Iterator[ServedLine]:
    """Yield the text of each line, given the code points of each frame, (lines, frames, alternatives), 0 for none."""
    for start in range(0, len(frames), _CHUNK):
        chunk = slice(start, min(start + _CHUNK, len(frames)))
        longest = int(frames[chunk].max())
        alphabet, log_probs = dense(symbols[chunk, :longest], probabilities[chunk, :longest])
        space = int(np.searchsorted(alphabet, _SPACE))
        rngs = [rng] * len(log_probs) if rng is not None else []
        for line in serve(log_probs, frames[chunk], explore, rngs, space):
            yield ServedLine("".join(chr(alphabet[label]) for label in line.labels), line)


def dense(symbols: NDArray[np.int32], probabilities: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the code points that occur, the blank first, and their log probabilities (lines, frames, code points)."""
    alphabet, classes = np.unique(np.append(symbols, [BLANK, _SPACE]), return_inverse=True)
    values = np.full((*symbols.shape[:2], len(alphabet)), _NEVER, np.float32)
    kept = np.nonzero(probabilities > 0)
    values[kept[0], kept[1], classes[:-2].reshape(symbols.shape)[kept]] = probabilities[kept]
    return alphabet, np.log(values)


def displayed_polygons(polygons: NDArray[Any], pages: NDArray[Any], features: Features) -> list[list[list[float]]]:
    """Return the corners [x, y] of each line where applications display its page, (lines, 4, 2) as lists."""
    sizes, displayed = features["sizes"][pages], features["displayed"][pages]
    corners = np.clip(polygons * (displayed / sizes)[:, None, ::-1], 0, displayed[:, None, ::-1])
    return [[[round(x, 1), round(y, 1)] for x, y in line] for line in corners.astype(np.float64).tolist()]
