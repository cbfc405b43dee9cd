"""Whatever a recording is encoded as, its features are the same, as far as the encoding keeps the sound."""

from functools import cache

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.audio.files import RATE, read_audio
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.mel import Mels
from tests.support.recordings import by_ffmpeg, by_libsndfile

TASK = SpeechToText()
AUDIBLE = 120
"""Levels of a spectrogram above the noise of codecs."""
MAX_SHIFT = 8
"""Frames of 12.5 ms that a codec may delay the sound by, if its container does not say so."""
LOSSLESS, RESAMPLED, FAITHFUL, LOSSY = 0.02, 0.05, 1.5, 6.0
"""Mean differences in steps of 0.39 dB: of other depths, of other rates, of fine and of coarse codecs."""

PCM = {
    "PCM_16": LOSSLESS,
    "PCM_24": LOSSLESS,
    "PCM_32": LOSSLESS,
    "FLOAT": LOSSLESS,
    "DOUBLE": LOSSLESS,
    "ULAW": FAITHFUL,
}
LIBSNDFILE: dict[tuple[str, str], float] = {
    **{(kind, subtype): step for kind in ("WAV", "AIFF", "AU", "CAF", "RF64", "W64") for subtype, step in PCM.items()},
    ("WAV", "PCM_U8"): FAITHFUL,
    ("WAV", "ALAW"): FAITHFUL,
    ("WAV", "IMA_ADPCM"): LOSSY,
    ("WAV", "MS_ADPCM"): LOSSY,
    ("NIST", "PCM_16"): LOSSLESS,
    ("FLAC", "PCM_16"): LOSSLESS,
    ("FLAC", "PCM_24"): LOSSLESS,
    ("CAF", "ALAC_16"): LOSSLESS,
    ("VOC", "PCM_16"): LOSSLESS,
    ("OGG", "VORBIS"): LOSSY,
    ("OGG", "OPUS"): LOSSY,
    ("MP3", "MPEG_LAYER_III"): LOSSY,
}
FFMPEG: dict[tuple[str, str], float] = {
    ("mp4", "aac"): LOSSY,
    ("mp4", "alac"): LOSSLESS,
    ("3gp", "aac"): LOSSY,
    ("mov", "pcm_s16be"): LOSSLESS,
    ("mov", "adpcm_ima_qt"): LOSSY,
    ("webm", "libopus"): LOSSY,
    ("matroska", "flac"): LOSSLESS,
    ("matroska", "pcm_s16le"): LOSSLESS,
    ("ogg", "flac"): LOSSLESS,
    ("adts", "aac"): LOSSY,
    ("latm", "aac"): LOSSY,
    ("mpegts", "aac"): LOSSY,
    ("mp3", "mp3"): LOSSY,
    ("asf", "wmav2"): LOSSY,
    ("wav", "wmav2"): LOSSY,
    ("wav", "mp3"): LOSSY,
}
ANY_RATE = [8_000, 16_000, 44_100, 48_000]
RATES_OF = {
    "libopus": [16_000, 48_000],
    "OPUS": [16_000, 48_000],
    "MPEG_LAYER_III": [16_000, 44_100, 48_000],
    "mp3": [44_100, 48_000],
    "wmav2": [44_100],
}
MONO_OR_STEREO = {"OPUS", "MPEG_LAYER_III", "mp3", "wmav2", "IMA_ADPCM", "MS_ADPCM", "adpcm_ima_qt", "VOC"}


@cache
def speech() -> NDArray[np.float32]:
    """1.5 s of a phrase."""
    return read_audio(TASK.samples()[0].payload)[: RATE * 3 // 2]


@cache
def at_rate(rate: int) -> NDArray[np.float32]:
    return np.asarray(np.clip(soxr.resample(speech(), RATE, rate, quality="VHQ"), -1, 1), np.float32)


@cache
def reference(rate: int) -> Mels:
    return mels(by_libsndfile(at_rate(rate), rate, "WAV", "PCM_16"))


def mels(payload: bytes) -> Mels:
    return np.asarray(TASK.preprocess(payload)["mels"])


def difference(first: Mels, second: Mels) -> float:
    """Return the mean difference of audible levels, for the delay at which it is the least."""
    means = []
    for shift in range(-MAX_SHIFT, MAX_SHIFT + 1):
        moved, still = first[:, max(0, shift) :].astype(int), second[:, max(0, -shift) :].astype(int)
        frames = min(moved.shape[1], still.shape[1])
        moved, still = moved[:, :frames], still[:, :frames]
        means.append(float(np.abs(moved - still)[still >= AUDIBLE].mean()))
    return min(means)


def channel_counts(container: str, encoding: str) -> list[int]:
    return [1, 2] if MONO_OR_STEREO & {container, encoding} else [1, 2, 6]


def assert_same_features(payload: bytes, rate: int, tolerance: float) -> None:
    assert difference(mels(payload), reference(rate)) <= tolerance


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_libsndfile_writes_gives_the_same_features(data: st.DataObject) -> None:
    (kind, subtype), tolerance = data.draw(st.sampled_from(list(LIBSNDFILE.items())))
    rate = data.draw(st.sampled_from(RATES_OF.get(subtype, ANY_RATE)))
    channels = data.draw(st.sampled_from(channel_counts(kind, subtype)))
    orders = ["BIG", "LITTLE"] if kind in {"WAV", "AIFF", "AU", "CAF"} and subtype in {"PCM_16", "PCM_24"} else [None]
    samples = np.repeat(at_rate(rate)[:, None], channels, axis=1)
    payload = by_libsndfile(samples, rate, kind, subtype, data.draw(st.sampled_from(orders)))
    assert_same_features(payload, rate, tolerance)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_ffmpeg_writes_gives_the_same_features(data: st.DataObject) -> None:
    (container, codec), tolerance = data.draw(st.sampled_from(list(FFMPEG.items())))
    rates = [16_000, 44_100, 48_000] if tolerance == LOSSY else ANY_RATE
    rate = data.draw(st.sampled_from(RATES_OF.get(codec, rates)))
    channels = data.draw(st.sampled_from(channel_counts(container, codec)))
    samples = np.repeat(at_rate(rate)[:, None], channels, axis=1)
    pipe = data.draw(st.booleans()) and container not in {"mov", "3gp"}
    assert_same_features(by_ffmpeg(samples, rate, container, codec, pipe), rate, tolerance)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "RF64", "W64", "NIST", "FLAC"])
@pytest.mark.parametrize("channels", [1, 2])
def test_equal_samples_give_equal_features(kind: str, channels: int) -> None:
    samples = np.repeat(speech()[:, None], channels, axis=1)
    np.testing.assert_array_equal(mels(by_libsndfile(samples, RATE, kind, "PCM_16")), reference(RATE))


def test_an_encoding_in_which_nothing_can_be_sought_is_read() -> None:
    np.testing.assert_array_equal(mels(by_libsndfile(speech(), RATE, "AIFF", "DWVW_16")), reference(RATE))


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_another_rate_gives_the_same_features(rate: int) -> None:
    found = mels(by_libsndfile(at_rate(rate), rate, "WAV", "FLOAT"))
    assert difference(found, reference(RATE)) <= RESAMPLED


def test_telephone_codecs_keep_the_sound_of_telephones() -> None:
    telephone = at_rate(8_000)
    amr = by_ffmpeg(telephone, 8_000, "amr", "libopencore_amrnb")
    assert difference(mels(amr), reference(8_000)) <= 3 * LOSSY
    for kind, subtype in (("WAV", "GSM610"), ("WAV", "G721_32"), ("WAV", "NMS_ADPCM_32"), ("AU", "G723_40")):
        payload = by_libsndfile(telephone, 8_000, kind, subtype)
        assert difference(mels(payload), reference(8_000)) <= 2 * LOSSY
