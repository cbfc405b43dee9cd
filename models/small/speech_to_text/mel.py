"""Log-mel spectrograms. Only numpy.

Frames of 25 ms each 12.5 ms under a Hann window, their power spectrum, 40 triangular bands of equal width on the mel
scale, mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy, "Speech Communication", 1987), in decibels of a full-scale tone
(as Davis and Mermelstein, IEEE Trans. ASSP 28, 1980, without the cosine transform), rounded to steps of 100/255 dB.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.audio.files import RATE
from models.audio.recording import Samples

MELS = 40
WINDOW, HOP, FFT = 400, 200, 512
FRAME_SECONDS = HOP / RATE
LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0
_EDGE = 3
"""Frames at either end of a recording that its beginning and end as such can fill."""
_CONTRAST = 16
"""Six decibels: less is the dither of silence, or a tone."""
FLOOR_DB = -100.0
"""This, and all that is softer, is 0; a full-scale tone is 255."""

_BLOCK = 1_024

Mels = NDArray[np.uint8]


def log_mel(samples: Samples) -> Mels:
    """Return the spectrogram, uint8 (40, frames), of samples at 16 kHz between -1 and 1; frames cover all samples.

    Sums are in float64 and in a fixed order, no matter how many threads there are: the rounding hides what is left of
    differences between machines.
    """
    frames = 1 + max(0, -(-(len(samples) - WINDOW) // HOP))
    padded = np.zeros((frames - 1) * HOP + WINDOW, np.float32)
    padded[: len(samples)] = samples
    views = sliding_window_view(padded, WINDOW)[::HOP]
    blocks = [_levels(views[start : start + _BLOCK]) for start in range(0, frames, _BLOCK)]
    return np.ascontiguousarray(np.concatenate(blocks).T)


def has_content(mels: Mels) -> bool:
    """Return whether anything changes in a spectrogram: silence, a constant or a hum can say nothing at all."""
    inner = mels[:, _EDGE:-_EDGE]
    return inner.size > 0 and bool((inner.max(axis=1) - inner.min(axis=1)).max() >= _CONTRAST)


def _levels(frames: NDArray[np.float32]) -> Mels:
    """Return the levels, uint8 (n, MELS), of frames (n, WINDOW)."""
    window, rising, falling, starts = _constants()
    spectrum = np.fft.rfft(frames * window, FFT)
    power = spectrum.real**2 + spectrum.imag**2
    power = power[:, starts[0] : starts[-1]]
    up = np.add.reduceat(power * rising, starts[:-1] - starts[0], axis=1)
    down = np.add.reduceat(power * falling, starts[:-1] - starts[0], axis=1)
    decibels = 10 * np.log10(np.maximum(up[:, :-1] + down[:, 1:], 10 ** (FLOOR_DB / 10)))
    return np.asarray(np.rint(np.clip((decibels - FLOOR_DB) * (255 / -FLOOR_DB), 0, 255)), np.uint8)


@cache
def _constants() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the window, by which a full-scale tone has power 1; and the filters.

    Between each two neighbouring centres one filter rises and the one below falls: their weights there, and the first
    bin of each such stretch, are all that is needed.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    window *= 2 / window.sum()
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    mel = np.linspace(lowest, highest, MELS + 2)
    centres = 700 * (10 ** (mel / 2595) - 1)
    starts = np.ceil(centres * FFT / RATE).astype(np.int64)
    bins = np.arange(starts[0], starts[-1]) * RATE / FFT
    stretch = np.searchsorted(centres, bins, side="right") - 1
    rising = (bins - centres[stretch]) / np.diff(centres)[stretch]
    return window, rising, 1 - rising, starts
