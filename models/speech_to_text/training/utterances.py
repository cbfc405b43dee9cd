"""Utterances as the decoder learns from them, in batches of a few sizes."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats
from models.speech_to_text.vocabulary import BEGIN, END

SIZES = ((64, 12, 32), (128, 16, 16), (256, 40, 8), (448, 80, 4), (896, 160, 2))
"""The most frames, tokens and utterances of a batch: whatever is shorter is padded."""
MAX_FRAMES, MAX_TOKENS, _ = SIZES[-1]


class Utterance(NamedTuple):
    """What the encoder returns for a chunk, (frames, features), and the tokens that are right for it.

    `parent` are the states before the parent's last layer, (tokens + 1, features), of an utterance that is rehearsed.
    """

    states: Floats
    tokens: list[int]
    parent: Floats | None = None


class Batch(NamedTuple):
    """Arrays of some utterances: tokens and targets are places in the open classes, `counted` is 0 behind the end."""

    states: Floats
    frames: NDArray[np.int32]
    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    counted: Floats
    parents: Floats
    rehearsed: Floats


def grouped(utterances: Sequence[Utterance], rng: Generator | None = None) -> list[list[int]]:
    """Return the places of utterances of about the same size, batch by batch; in another order for each `rng`."""
    order = np.arange(len(utterances)) if rng is None else rng.permutation(len(utterances))
    by_size = sorted(order.tolist(), key=lambda place: _size(utterances[place]))
    groups = []
    for size, places in groupby(by_size, key=lambda place: _size(utterances[place])):
        members, most = list(places), SIZES[size][2]
        groups += [members[start : start + most] for start in range(0, len(members), most)]
    return groups if rng is None else [groups[number] for number in rng.permutation(len(groups)).tolist()]


def batches(utterances: Sequence[Utterance], classes: NDArray[np.int64]) -> Iterator[tuple[list[int], Batch]]:
    """Yield the places of some utterances of about the same size, and their arrays."""
    for places in grouped(utterances):
        yield places, padded([utterances[place] for place in places], classes)


def _size(utterance: Utterance) -> int:
    frames, tokens = len(utterance.states), len(utterance.tokens) + 1
    return next(place for place, (most, longest, _) in enumerate(SIZES) if frames <= most and tokens <= longest)


def padded(members: Sequence[Utterance], classes: NDArray[np.int64]) -> Batch:
    """Return the arrays of utterances of the same size, with places in the open classes, which are in rising order."""
    frames, length, count = SIZES[_size(members[0])]
    features = members[0].states.shape[1]
    arrays: dict[str, NDArray[Any]] = {
        "states": np.zeros((count, frames, features), np.float32),
        "frames": np.ones(count, np.int32),
        "tokens": np.zeros((count, length), np.int32),
        "targets": np.zeros((count, length), np.int32),
        "counted": np.zeros((count, length), np.float32),
        "parents": np.zeros((count, length, features), np.float32),
        "rehearsed": np.zeros(count, np.float32),
    }
    for row, member in enumerate(members):
        steps = len(member.tokens) + 1
        arrays["states"][row, : len(member.states)] = member.states
        arrays["frames"][row] = len(member.states)
        arrays["tokens"][row, :steps] = np.searchsorted(classes, [BEGIN, *member.tokens])
        arrays["targets"][row, :steps] = np.searchsorted(classes, [*member.tokens, END])
        arrays["counted"][row, :steps] = 1.0
        if member.parent is not None:
            arrays["parents"][row, :steps] = member.parent
            arrays["rehearsed"][row] = 1.0
    return Batch(**arrays)
