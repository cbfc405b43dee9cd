"""Log-mel spectrograms: known sounds, whole coverage, the same in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio.files import RATE
from models.small.speech_to_text.mel import HIGHEST_HZ, HOP, LOWEST_HZ, MELS, WINDOW, log_mel


def centres() -> list[float]:
    """Of the bands, in Hz, by the formula."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    mels = [low + (high - low) * (band + 1) / (MELS + 1) for band in range(MELS)]
    return [float(700 * (10 ** (mel / 2595) - 1)) for mel in mels]


@pytest.mark.parametrize("band", [4, 12, 20, 30, 38])
def test_a_tone_is_loudest_in_the_band_around_it(band: int) -> None:
    tone = np.sin(2 * np.pi * centres()[band] * np.arange(RATE) / RATE)
    mels = log_mel(tone.astype(np.float32))
    assert set(mels[:, 5:-5].argmax(axis=0).tolist()) == {band}


def test_a_full_scale_tone_is_the_most_there_is_and_ten_times_softer_is_20_db_less() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    loud, soft = (int(log_mel(level * tone)[:, 5:-5].max()) for level in (np.float32(1), np.float32(0.1)))
    assert loud >= 250
    assert loud - soft == pytest.approx(20 * 255 / 100, abs=5)


def test_silence_is_nothing() -> None:
    assert not log_mel(np.zeros(5_000, np.float32)).any()


@given(st.integers(1, 5_000))
def test_frames_cover_all_samples(count: int) -> None:
    samples = np.zeros(count, np.float32)
    samples[-1] = 1.0
    mels = log_mel(samples)
    assert mels.dtype == np.uint8
    assert mels.shape == (MELS, 1 + max(0, int(np.ceil((count - WINDOW) / HOP))))


def test_a_long_recording_has_the_same_frames_as_its_parts() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 2_500 * HOP).astype(np.float32)
    whole, part = log_mel(samples), log_mel(samples[1_000 * HOP :])
    np.testing.assert_array_equal(whole[:, 1_000 : 1_000 + part.shape[1]], part)
