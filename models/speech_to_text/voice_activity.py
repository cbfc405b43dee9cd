"""Chunks of a recording with voice in them, cut at pauses: by the network of Silero (https://github.com/snakers4/silero-vad).

The network gives the probability of voice in each window of 32 ms. Voice begins above one threshold and ends below a
lower one (hysteresis), as its authors advise.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.audio.files import RATE
from models.audio.recording import Samples

WINDOW = 512
_CONTEXT = 64
"""Samples of the window before, which the network takes with each window."""
_WINDOWS_PER_CALL = 512
_LEVEL = 0.3
"""Recordings are as loud as can be (`task`): at this level the network takes fewer tones and melodies for voices."""
_BEGIN, _END = 0.5, 0.35

Probabilities = NDArray[np.float32]
Span = tuple[int, int]
"""The first window, and the first after the last."""


def _windows(seconds: float) -> int:
    return round(seconds * RATE / WINDOW)


PAUSE = _windows(0.5)
"""Windows without voice that part two chunks,"""
LONG_PAUSE, FULL_CHUNK = _windows(2), _windows(10)
"""unless they are fewer than these and both chunks together are short: words are heard better among others."""
MIN_VOICE = _windows(0.25)
"""Less is a click or a breath, as the network's authors advise."""
MAX_CHUNK = _windows(20)
"""A longer chunk is cut where voice is least probable: the recogniser has learned from chunks of 4 to 30 s."""
MARGIN = _windows(0.25)
"""Windows that are added before and after: consonants are soft."""


def voice_probabilities(network: onnxruntime.InferenceSession, samples: Samples) -> Probabilities:
    """Return the probability of voice in each window of a recording; the last one is filled with silence."""
    padded = np.zeros(_CONTEXT + max(1, -(-len(samples) // WINDOW)) * WINDOW, np.float32)
    padded[_CONTEXT : _CONTEXT + len(samples)] = _LEVEL * samples
    views = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + WINDOW)[::WINDOW]
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    parts = []
    for start in range(0, len(views), _WINDOWS_PER_CALL):
        block = np.ascontiguousarray(views[start : start + _WINDOWS_PER_CALL])
        feeds = {"input": block, "h": hidden, "c": cell}
        found, hidden, cell = network.run(["speech_probs", "hn", "cn"], feeds)
        parts.append(found.reshape(-1))
    return np.concatenate(parts)


def chunks(probabilities: Probabilities) -> list[Span]:
    """Return the chunks with voice, in order, none longer than `MAX_CHUNK`; they do not overlap."""
    spans = [span for span in _joined(_voiced(probabilities), PAUSE) if span[1] - span[0] >= MIN_VOICE]
    spans = list(_joined(spans, LONG_PAUSE, FULL_CHUNK))
    middles = [(before[1] + after[0]) // 2 for before, after in pairwise(spans)]
    return [
        part
        for (start, stop), least, most in zip(spans, [0, *middles], [*middles, len(probabilities)], strict=False)
        for part in _short((max(least, start - MARGIN), min(most, stop + MARGIN)), probabilities)
    ]


def _voiced(probabilities: Probabilities) -> Iterator[Span]:
    start = None
    for window, probability in enumerate(probabilities.tolist()):
        if start is None and probability >= _BEGIN:
            start = window
        elif start is not None and probability < _END:
            yield start, window
            start = None
    if start is not None:
        yield start, len(probabilities)


def _joined(spans: Iterable[Span], pause: int, longest: int | None = None) -> Iterator[Span]:
    """Yield the spans, those together that are parted by less than a pause, if they are not too long together."""
    joined: Span | None = None
    for start, stop in spans:
        if joined is None:
            joined = start, stop
        elif start - joined[1] < pause and (longest is None or stop - joined[0] <= longest):
            joined = joined[0], stop
        else:
            yield joined
            joined = start, stop
    if joined is not None:
        yield joined


def _short(span: Span, probabilities: Probabilities) -> list[Span]:
    """Return the span in parts of at most `MAX_CHUNK` windows, cut where voice is least probable in its middle half."""
    parts, waiting = [], [span]
    while waiting:
        start, stop = waiting.pop()
        if stop - start <= MAX_CHUNK:
            parts.append((start, stop))
            continue
        quarter = (stop - start) // 4
        cut = start + quarter + int(probabilities[start + quarter : stop - quarter].argmin())
        waiting += [(cut, stop), (start, cut)]
    return parts
