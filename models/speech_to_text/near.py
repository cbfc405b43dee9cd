"""The key that tells another file of a recording from one in which another sound is spoken."""

import numpy as np
from numpy.typing import NDArray

from models.audio.files import RATE
from models.speech_to_text.mu_law import expand

BOUND = 10
"""In hundredths of 30 decibels. Files of other codecs and rates mostly differed by less; recordings with another sound
in place of 80 milliseconds by 16 at least, of 150 milliseconds by 29 (see docs/learning.md)."""
MAX_SECONDS = 20
_HOP = RATE // 20
_BANDS, _LOWEST, _HIGHEST = 12, 150.0, 3800.0  # hertz: what the telephone lets through
_DECIBELS = 30.0
"""Below the loudest band: what is softer is the noise of codecs."""


def near_key(codes: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the loudness of each band in each twentieth of a second, (frames, bands); None for a long recording."""
    if not 0 < len(codes) <= MAX_SECONDS * RATE:
        return None
    frames = max(1, round(len(codes) / _HOP))
    samples = np.pad(expand(codes).astype(np.float32), (_HOP // 2, 2 * _HOP))
    windows = np.stack([samples[frame * _HOP : (frame + 2) * _HOP] for frame in range(frames)])
    powers = np.abs(np.fft.rfft(windows * np.hanning(2 * _HOP).astype(np.float32))) ** 2
    bands = np.digitize(np.fft.rfftfreq(2 * _HOP, 1 / RATE), _edges()) - 1
    loudness = 10 * np.log10(np.stack([powers[:, bands == band].sum(axis=1) for band in range(_BANDS)], 1) + 1e-12)
    above = np.clip(loudness - loudness.max() + _DECIBELS, 0.0, None)
    return np.asarray(np.rint(above * (100 / _DECIBELS)), np.uint8)


def _edges() -> NDArray[np.float64]:
    """Return the limits of the bands, equally wide on the mel scale (O'Shaughnessy, 1987)."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST, _HIGHEST))
    return np.asarray(700 * (10 ** (np.linspace(low, high, _BANDS + 1) / 2595) - 1))
