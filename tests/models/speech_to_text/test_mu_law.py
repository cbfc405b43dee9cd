"""Companding: what is lost, and what never is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.speech_to_text.mu_law import NO_SAMPLE, SILENCE, compress, expand


def test_no_sample_becomes_the_code_that_is_none() -> None:
    samples = np.linspace(-1.5, 1.5, 100_001, dtype=np.float32)
    codes = compress(samples)
    assert codes.min() == 1
    assert codes.max() == 255
    assert NO_SAMPLE == 0


def test_silence_stays_silence() -> None:
    assert (compress(np.zeros(5, np.float32)) == SILENCE).all()
    assert (expand(np.full(5, SILENCE, np.uint8)) == 0).all()


@given(st.lists(st.integers(1, 255), min_size=1))
def test_codes_come_back_from_their_samples(codes: list[int]) -> None:
    assert compress(expand(np.array(codes, np.uint8))).tolist() == codes


@given(level=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_the_noise_of_rounding_is_33_decibels_below_the_sound_at_any_level(level: float, seed: int) -> None:
    samples = (np.random.default_rng(seed).uniform(-level, level, 1_000)).astype(np.float32)
    noise = expand(compress(samples)) - samples
    assert 10 * np.log10(np.square(samples).sum() / np.square(noise).sum()) > 33


def test_padding_is_left_out() -> None:
    assert expand(np.array([200, 100, 0, 0], np.uint8)) == pytest.approx(expand(np.array([200, 100], np.uint8)))
    assert len(expand(np.zeros(3, np.uint8))) == 0
