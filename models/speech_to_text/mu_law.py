"""Samples in eight bits: the companding of ITU-T G.711 (mu-law, mu = 255), in its continuous form.

Codes are 1 to 255, and 128 is silence; 0 is no sample, so a batch can be padded with it. Steps grow with loudness: the
noise of rounding is 38 dB softer than a loud sound, and 34 dB softer than one of a hundredth of its amplitude.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.audio.recording import Samples

_MU = 255.0
_STEPS = 127
SILENCE, NO_SAMPLE = 128, 0

Codes = NDArray[np.uint8]


def compress(samples: Samples) -> Codes:
    """Return the codes of samples between -1 and 1; louder ones are clipped.

    Samples are rounded to 16 bits first, whose codes are in a table: so all machines give the same codes.
    """
    whole = np.rint(np.clip(samples, -1.0, 1.0) * 32_767).astype(np.int32)
    codes: Codes = _codes()[whole + 32_767]
    return codes


def expand(codes: Codes) -> Samples:
    """Return the samples of codes, up to the first that is no sample."""
    padding = np.flatnonzero(codes == NO_SAMPLE)
    samples: Samples = _levels()[codes[: padding[0]] if len(padding) else codes]
    return samples


@cache
def _codes() -> Codes:
    amplitudes = np.arange(-32_767, 32_768) / 32_767
    compressed = np.sign(amplitudes) * np.log1p(_MU * np.abs(amplitudes)) / np.log1p(_MU)
    return np.asarray(np.rint(compressed * _STEPS) + SILENCE, np.uint8)


@cache
def _levels() -> Samples:
    compressed = (np.arange(256) - SILENCE) / _STEPS
    return np.asarray(np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(_MU)) / _MU, np.float32)
