"""Reading the output of a CTC network (Graves et al., "Connectionist temporal classification", ICML 2006).

Only numpy: this runs at serving time, for a whole batch at once. Class 0 is the blank.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


class LabelledSignal(NamedTuple):
    """What a CTC network sees of an input, `signal` uint8 (height, width), and the text that is in it."""

    signal: NDArray[np.uint8]
    text: str


def best_path(log_probs: Floats, lengths: Ints) -> list[list[int]]:
    """Return the labels of each line's most probable path: repeats merged, blanks removed.

    `log_probs` (batch, frames, classes), `lengths` (batch,) valid frames. One list of classes (>= 1) a line.
    """
    return _collapsed(log_probs.argmax(axis=2), lengths)


def sampled_path(log_probs: Floats, length: int, rng: np.random.Generator) -> list[int]:
    """Return the labels of one line's path with each frame's class drawn from its distribution, (frames, classes).

    So labels come with their exact probability, that of `label_probabilities` (Graves and Jaitly, "Towards end-to-end
    speech recognition with recurrent neural networks", ICML 2014, section 4).
    """
    shares = np.exp(log_probs[:length].astype(np.float64)).cumsum(axis=1)
    path = (shares < rng.random((length, 1)) * shares[:, -1:]).sum(axis=1)
    return _collapsed(path[None], np.array([length]))[0]


def sampled_paths(log_probs: Floats, count: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the labels of `count` paths of one line, each drawn as `sampled_path` does, (frames, classes)."""
    shares = np.exp(log_probs.astype(np.float64)).cumsum(axis=1)
    draws = rng.random((len(shares), count)) * shares[:, -1:]
    paths = np.array([frame.searchsorted(drawn) for frame, drawn in zip(shares, draws, strict=True)])
    return _collapsed(paths.reshape(len(shares), count).T.copy(), np.full(count, len(shares)))


def _collapsed(paths: Ints, lengths: Ints) -> list[list[int]]:
    """Merge repeats; remove blanks and frames beyond a line's length. Changes `paths`, (batch, frames)."""
    paths[np.arange(paths.shape[1]) >= np.asarray(lengths)[:, None]] = 0
    keep = paths != 0
    keep[:, 1:] &= paths[:, 1:] != paths[:, :-1]
    return [line[kept].tolist() for line, kept in zip(paths, keep, strict=True)]


def single_spaced(labels: list[int], space: int) -> list[int]:
    """Return the labels with one space between words, and none before and after."""
    kept = [label for label, before in zip(labels, [space, *labels], strict=False) if (label, before) != (space, space)]
    return kept[:-1] if kept[-1:] == [space] else kept


def label_probabilities(
    log_probs: Floats, lengths: Ints, labels: list[list[int]], space: int | None = None
) -> NDArray[np.float64]:
    """Return the exact probability of each line's labels: the sum over all paths that collapse to them, shape (batch,).

    With a `space` it is that of single-spaced labels' words: of all paths that collapse to these but for spaces.

    The forward recursion of the paper (equations 6 to 8), all lines side by side. Plain probabilities in float64:
    texts too improbable for that (below 1e-300) are 0, which is what a confidence should say of them.
    """
    batch, frames, _ = log_probs.shape
    lengths = np.asarray(lengths)
    longest = max((len(line) for line in labels), default=0)
    states = np.zeros((batch, 2 * longest + 1), np.int64)  # blank, label, blank, label, ..., blank
    for row, line in enumerate(labels):
        states[row, 1 : 2 * len(line) : 2] = line
    rows = np.arange(batch)
    emitted = np.exp(log_probs[rows[:, None], :, states].astype(np.float64)).transpose(2, 0, 1)
    skip = np.zeros(states.shape, np.float64)  # from one label to the next, without a blank between, if they differ
    skip[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    last = 2 * np.array([len(line) for line in labels], np.int64)
    stay = np.ones(states.shape, np.float64)
    if space is not None:  # the blanks around words, and after a space, may be spaces too, which alone follow the first
        free = np.zeros(states.shape, np.float64)
        free[:, 0] = free[rows, last] = 1.0
        free[:, 1:][states[:, :-1] == space] = 1.0
        emitted += free * np.exp(log_probs[:, :, space].astype(np.float64)).T[:, :, None]
        stay[states == space] = 0.0

    forward = np.zeros((batch, states.shape[1] + 2), np.float64)  # two empty states in front
    current, one_back, two_back = forward[:, 2:], forward[:, 1:-1], forward[:, :-2]
    final = np.zeros_like(current)
    ends: dict[int, list[int]] = {}
    for row, length in enumerate(lengths.tolist()):
        ends.setdefault(min(length, frames), []).append(row)
    current[:, 0] = 1.0  # before the first frame: as if a blank had been seen
    for row in ends.get(0, ()):
        final[row] = current[row]
    for frame in range(max(ends, default=0)):
        moved = two_back * skip
        moved += one_back
        moved += current * stay
        moved *= emitted[frame]
        current[:] = moved
        for row in ends.get(frame + 1, ()):
            final[row] = current[row]
    before = np.where(last > 0, final[rows, np.maximum(last - 1, 0)], 0.0)
    probabilities: NDArray[np.float64] = np.minimum(final[rows, last] + before, 1.0)
    return probabilities
