"""Simulated acoustics: tempo, room, microphone, noise, recording level. Numpy only.

Training makes its data with this, and `make run` its traffic, from clips of voices that no training ever hears.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

from models.audio.files import RATE
from models.audio.recording import Samples

Sound = NDArray[np.float64]


@dataclass(frozen=True)
class RecordingConditions:
    """How often and how strongly each thing happens; by default as in training."""

    tempo: float = 0.1
    """Up to this much faster or slower, and higher or lower with it: another throat."""
    reverberant: float = 0.35
    narrow: float = 0.35
    noisy: float = 0.85
    softest_noise_db: float = 40.0
    loudest_noise_db: float = 5.0
    """Speech over noise."""
    softest_peak_db: float = -30.0
    """Peaks of the recording, below full scale."""


def record(speech: Samples, rate: int, rng: Generator, room: RecordingConditions) -> Samples:
    """Record speech: 16 kHz, steps of 16 bits, between -1 and 1, with some silence around it."""
    tempo = float(np.exp(rng.uniform(-room.tempo, room.tempo)))
    sound = soxr.resample(speech, rate * tempo, RATE, quality="VHQ").astype(np.float64)
    before, after = (int(RATE * rng.uniform(0.05, 0.6)) for _ in range(2))
    sound = np.pad(sound / max(1e-6, float(np.abs(sound).max(initial=0.0))), (before, after))
    if rng.random() < room.reverberant:
        sound = _reverberated(sound, rng)
    if rng.random() < room.noisy:
        sound = sound + _noise(sound, rng.uniform(room.loudest_noise_db, room.softest_noise_db), rng)
    if rng.random() < room.narrow:
        sound = _narrowed(sound, rng)
    peak = 10 ** (rng.uniform(room.softest_peak_db, 0) / 20)
    if rng.random() < 0.05:
        sound = np.clip(sound, -0.4, 0.4)
    return quantised(sound * (peak / np.abs(sound).max(initial=1e-6)))


def quantised(sound: Sound) -> Samples:
    """Round samples to steps of 16 bits, as a file holds them."""
    steps = np.rint(np.clip(sound, -1, 1 - 2**-15) * 2**15)
    return np.asarray(steps / 2**15, np.float32)


def _reverberated(sound: Sound, rng: Generator) -> Sound:
    """Return the direct sound and an echo that dies away exponentially: by 60 dB in 0.1 to 0.6 s."""
    seconds = rng.uniform(0.1, 0.6)
    echo = rng.standard_normal(int(RATE * seconds)) * 10 ** (-3 * np.linspace(0, 1, int(RATE * seconds)))
    echo[: int(RATE * rng.uniform(0.001, 0.02))] = 0
    echo *= rng.uniform(0.1, 0.8) / np.sqrt(np.sum(echo**2))
    echo[0] = 1.0
    return _filtered(sound, np.fft.rfft(echo, _length(len(sound) + len(echo))))


def _noise(sound: Sound, above_db: float, rng: Generator) -> Sound:
    """Return noise between white and brown, swelling slowly, now and then with a mains hum."""
    size = _length(len(sound))
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    colour = np.maximum(frequencies, 40) ** (-rng.uniform(0, 1))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * colour)[: len(sound)]
    swell = np.interp(np.linspace(0, 1, len(sound)), np.linspace(0, 1, 6), rng.uniform(0.5, 1.5, 6))
    noise *= swell / np.sqrt(np.mean(noise**2))
    if rng.random() < 0.15:
        mains = 2 * np.pi * float(rng.choice([50.0, 60.0])) * np.arange(len(sound)) / RATE
        noise = noise + sum(rng.uniform(0, 1.5) * np.sin(k * mains) for k in (1, 2, 3))
    speech = np.sqrt(np.mean(sound[sound != 0] ** 2)) if sound.any() else 0.05
    return np.asarray(noise * (speech * 10 ** (-above_db / 20) / np.sqrt(np.mean(noise**2))))


def _narrowed(sound: Sound, rng: Generator) -> Sound:
    """Limit the sound to the band of a cheap microphone or a telephone."""
    size = _length(len(sound))
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    low, high = rng.uniform(50, 350), np.exp(rng.uniform(np.log(3200), np.log(7800)))
    passed = 1 / np.sqrt(1 + (low / np.maximum(frequencies, 1)) ** 6) / np.sqrt(1 + (frequencies / high) ** 24)
    tilt = (np.maximum(frequencies, 100) / 1000) ** rng.uniform(-0.4, 0.4)
    return _filtered(sound, passed * tilt)


def _filtered(sound: Sound, response: NDArray[Any]) -> Sound:
    size = 2 * (len(response) - 1)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * response, size)[: len(sound)])


def _length(samples: int) -> int:
    """Return a length that is quick to transform."""
    return 1 << (samples - 1).bit_length()
