"""From many channels to one, without losing the sound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.audio.channels import Mixer
from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from tests.support.recordings import by_libsndfile

SOUND = np.cumsum(np.random.default_rng(0).normal(0, 0.02, RATE)).astype(np.float32)
SOUND = np.clip((SOUND - np.convolve(SOUND, np.ones(400) / 400, "same")).astype(np.float32), -0.9, 0.9)
SILENCE = np.zeros_like(SOUND)


def read(*channels: Samples, subtype: str = "FLOAT", kind: str = "WAV") -> Samples:
    return read_audio(by_libsndfile(np.stack(channels, axis=1), RATE, kind, subtype))


def alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


@given(gain=st.floats(0.75, 1.0), constant=st.floats(-0.05, 0.05))
def test_channels_that_cancel_each_other_are_heard_by_the_strongest(gain: float, constant: float) -> None:
    opposite = (constant - gain * SOUND).astype(np.float32)
    found = read(SOUND, opposite)
    assert abs(alike(found, SOUND)) > 0.999
    assert np.std(found) > 0.7 * np.std(SOUND)


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "ULAW")])
def test_a_codec_does_not_hide_that_channels_cancel_each_other(kind: str, subtype: str) -> None:
    found = read(SOUND, -SOUND, kind=kind, subtype=subtype)
    assert 0.5 < np.std(found) / np.std(SOUND) < 1.5


@given(gains=st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_what_is_in_a_channel_is_in_what_is_heard(gains: list[float]) -> None:
    gains[0] = 1.0
    found = read(*[(gain * SOUND).astype(np.float32) for gain in gains])
    assert abs(alike(found, SOUND)) > 0.999
    assert np.std(found) > 0.05 * np.std(SOUND)


def test_channels_are_averaged_as_long_as_one_is_heard() -> None:
    np.testing.assert_allclose(read(SOUND, SILENCE), SOUND / 2, atol=1e-6)
    np.testing.assert_allclose(read(*[SILENCE] * 5, SOUND), SOUND / 6, atol=1e-6)
    np.testing.assert_allclose(read(SOUND, -SOUND / 2), SOUND / 4, atol=1e-6)


def test_silence_in_all_channels_has_no_strongest() -> None:
    mixer = Mixer()
    mixer.mix(np.zeros((100, 2), np.float32), RATE)
    assert mixer.strongest is None
