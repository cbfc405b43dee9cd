"""Rooms: what they leave of speech, and that they repeat by seed."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng

from models.audio.files import RATE
from models.audio.recording import Samples
from models.small.speech_to_text.data.acoustics import RecordingConditions, record

STILL = RecordingConditions(tempo=0.0, reverberant=0.0, narrow=0.0, noisy=0.0, softest_peak_db=0.0)


def chirp(rate: int = 22_050) -> Samples:
    seconds = np.arange(rate) / rate
    return np.asarray(np.sin(2 * np.pi * (200 * seconds + 1_500 * seconds**2)), np.float32)


@pytest.mark.parametrize(
    "room",
    [
        RecordingConditions(),
        STILL,
        replace(STILL, reverberant=1.0),
        replace(STILL, narrow=1.0),
        replace(STILL, noisy=1.0),
        replace(STILL, tempo=0.2),
    ],
)
def test_recordings_are_samples_of_16_bits_and_repeat_by_seed(room: RecordingConditions) -> None:
    first, again, other = (record(chirp(), 22_050, default_rng(seed), room) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1.0
    np.testing.assert_array_equal(first * 2**15, np.rint(first * 2**15))


def test_a_still_room_adds_only_silence() -> None:
    found = record(chirp(), 22_050, default_rng(0), STILL)
    loud = np.flatnonzero(np.abs(found) > 1e-3)
    assert loud[0] >= 0.05 * RATE
    assert len(found) - loud[-1] >= 0.05 * RATE
    assert loud[-1] - loud[0] == pytest.approx(RATE, abs=60)


def test_noise_is_as_loud_as_asked() -> None:
    room = replace(STILL, noisy=1.0, loudest_noise_db=20.0, softest_noise_db=20.0)
    quiet, noisy = (record(chirp(), 22_050, default_rng(3), one) for one in (STILL, room))
    speech = quiet * np.float32(np.sum(noisy * quiet) / np.sum(quiet**2))
    noise = noisy - speech
    ratio = 10 * np.log10(np.mean(speech[quiet != 0] ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(20, abs=1)


def test_silence_stays_silent_but_for_noise() -> None:
    silence = np.zeros(8_000, np.float32)
    assert not record(silence, RATE, default_rng(0), STILL).any()
    assert record(silence, RATE, default_rng(0), replace(STILL, noisy=1.0)).any()
