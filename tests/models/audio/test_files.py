"""Reading audio files: every rate, kind and number of channels, and everything that is refused."""

import struct
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.audio.files import RATE, read_audio
from models.audio.recording import MAX_CHANNELS, MAX_SAMPLES, MAX_SECONDS
from models.base import Rejected
from models.small.speech_to_text import SpeechToText

KINDS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
]


def tone(rate: int = RATE, seconds: float = 0.5, channels: int = 1, level: float = 0.5) -> NDArray[np.float32]:
    """440 Hz."""
    wave = level * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encoded(samples: NDArray[np.float32], rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def wav_header(data_size: int, rate: int = RATE, channels: int = 1, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * frame, frame, bits)
    return (
        b"RIFF"
        + struct.pack("<I", 0x7FFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + struct.pack("<4sI", b"data", data_size)
    )


def rejection(payload: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        SpeechToText().preprocess(payload)
    assert str(caught.value)
    return caught.value.code


def assert_is_the_tone(samples: NDArray[np.float32], tolerance: float) -> None:
    assert samples.dtype == np.float32
    assert abs(len(samples) - RATE // 2) <= 2
    middle = slice(RATE // 8, RATE // 2 - RATE // 8)
    np.testing.assert_allclose(samples[middle], tone()[:, 0][middle], atol=tolerance)


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_each_kind_of_file_gives_the_same_sound(kind: str, subtype: str) -> None:
    assert_is_the_tone(read_audio(encoded(tone(), RATE, kind, subtype)), 0.06)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, MAX_CHANNELS])
def test_any_rate_and_number_of_channels_gives_16_khz_mono(rate: int, channels: int) -> None:
    assert_is_the_tone(read_audio(encoded(tone(rate, channels=channels), rate)), 2e-3)


def test_channels_are_averaged() -> None:
    both = tone(channels=2)
    both[:, 1] = 0
    np.testing.assert_allclose(read_audio(encoded(both, subtype="FLOAT")), both[:, 0] / 2, atol=1e-6)


def test_a_file_longer_than_a_block_is_whole() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (150_000, 1)).astype(np.float32)
    np.testing.assert_array_equal(read_audio(encoded(noise, subtype="FLOAT")), noise[:, 0])


def test_an_empty_value_is_refused() -> None:
    assert rejection(b"") == "empty"


@pytest.mark.parametrize(
    "payload", [b"just some text", b'{"a": 1}', bytes(100), b"ID3\x04" + bytes(50), b"RIFF1234AVI "]
)
def test_what_is_no_audio_is_refused(payload: bytes) -> None:
    assert rejection(payload) == "not_audio"


def test_a_wav_of_zero_length_is_refused() -> None:
    assert rejection(wav_header(0)) == "no_samples"


def test_a_flac_that_claims_eight_hours_is_refused() -> None:
    payload = bytearray(encoded(tone(), RATE, "FLAC"))
    total = 8 * 3600 * RATE  # 36 bits of STREAMINFO, RFC 9639 section 8.2
    payload[21] = (payload[21] & 0xF0) | total >> 32
    payload[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    assert rejection(bytes(payload)) == "too_long"


def ogg_checksum(page: bytes) -> int:
    """RFC 3533, section 6: polynomial 0x04C11DB7, nothing reflected."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x104C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def test_an_ogg_that_claims_eight_hours_is_read_as_far_as_it_goes() -> None:
    payload = encoded(tone(), RATE, "OGG", "VORBIS")
    last = payload.rfind(b"OggS")
    page = bytearray(payload[last:])
    assert int.from_bytes(page[22:26], "little") == ogg_checksum(bytes(page[:22] + bytes(4) + page[26:]))
    page[6:14] = (8 * 3600 * RATE).to_bytes(8, "little")
    page[22:26] = bytes(4)
    page[22:26] = ogg_checksum(bytes(page)).to_bytes(4, "little")
    assert_is_the_tone(read_audio(payload[:last] + bytes(page))[: RATE // 2], 0.06)


def test_a_file_that_is_really_too_long_is_refused() -> None:
    silence = np.zeros((8_000 * (MAX_SECONDS + 1), 1), np.float32)
    payload = encoded(silence, 8_000, subtype="PCM_U8")
    assert rejection(payload) == "too_long"
    assert rejection(wav_header(0xFFFFFFFF, 8_000, bits=8) + payload[44:]) == "too_long"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(value: float) -> None:
    samples = tone()
    samples[100] = value
    assert rejection(encoded(samples, subtype="FLOAT")) == "not_finite"


def test_float_samples_of_another_scale_are_refused() -> None:
    assert rejection(encoded(tone(level=32_000.0), subtype="FLOAT")) == "out_of_range"


def test_too_many_channels_are_refused() -> None:
    assert rejection(encoded(tone(channels=MAX_CHANNELS + 1))) == "too_many_channels"


@pytest.mark.parametrize("rate", [100, 1_000_000])
def test_rates_that_no_recorder_has_are_refused(rate: int) -> None:
    assert rejection(encoded(tone(), rate)) == "bad_rate"


@cache
def small_files() -> tuple[bytes, ...]:
    sound = tone(seconds=0.1)
    return tuple(encoded(sound, RATE, *kind) for kind in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")))


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=150)
def test_damage_anywhere_is_refused_or_read_but_never_an_error(place: int, value: int) -> None:
    for payload in small_files():
        damaged = bytearray(payload)
        damaged[place % len(payload)] = value
        try:
            assert SpeechToText().preprocess(bytes(damaged))["mels"].shape[0] == 40
        except Rejected as refused:
            assert refused.code


def flac_claiming(rate: int, channels: int, seconds: int) -> bytes:
    """A short FLAC file that says it holds so much."""
    file = encoded(tone(rate, 0.1, channels), rate, "FLAC")
    total = rate * seconds
    return file[:21] + bytes([file[21] & 0xF0 | total >> 32]) + struct.pack(">I", total & 0xFFFFFFFF) + file[26:]


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "taken"),
    [(384_000, 8, 18, True), (384_000, 8, 19, False), (48_000, 2, MAX_SECONDS, True), (48_000, 3, MAX_SECONDS, False)],
)
def test_samples_of_all_channels_are_bounded_before_they_are_decoded(
    rate: int, channels: int, seconds: int, taken: bool
) -> None:
    assert (rejection(flac_claiming(rate, channels, seconds)) == "too_many_samples") != taken


def test_an_encoding_that_takes_long_to_decode_may_be_as_long_as_calls_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 6
    monkeypatch.setattr("models.audio.recording.MAX_SAMPLES", MAX_SAMPLES * seconds // MAX_SECONDS)
    assert len(read_audio(encoded(tone(8_000, seconds), 8_000, subtype="G721_32"))) == seconds * RATE
    assert rejection(encoded(tone(16_000, seconds), 16_000, subtype="G721_32")) == "too_many_samples"
    assert len(read_audio(encoded(tone(16_000, seconds), 16_000, subtype="PCM_16"))) == seconds * RATE


def test_work_that_the_header_does_not_tell_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.recording.MAX_SAMPLES", 100_000)
    stream = BytesIO(encoded(tone(48_000, seconds=4), 48_000, "FLAC"))
    known = stream.getvalue()
    unknown = known[:21] + bytes([known[21] & 0xF0]) + bytes(4) + known[26:]  # STREAMINFO's total of samples
    assert rejection(unknown) == "too_many_samples"


@pytest.mark.parametrize(
    "payload",
    [
        wav_header(0)[:12] + b"JUNK\0\0\0\0" * 200_000 + wav_header(0)[12:],
        b"fLaC" + b"\x01\0\0\0" * 200_000 + b"\x81\0\0\0" + b"sound",
        (b"OggS" + bytes(23)) * 300_001,
    ],
    ids=["WAV", "FLAC", "OGG"],
)
def test_a_file_of_very_many_empty_parts_is_refused(payload: bytes) -> None:
    assert rejection(payload) == "broken"


def test_an_mp3_whose_length_is_not_known_is_read_to_its_end() -> None:
    with_index = encoded(tone(seconds=2), RATE, "MP3", "MPEG_LAYER_III")
    assert b"Xing" in with_index or b"Info" in with_index
    without = with_index.replace(b"Xing", b"____").replace(b"Info", b"____")
    assert abs(len(read_audio(without)) - 2 * RATE) < RATE / 5
    assert rejection(with_index[: len(with_index) // 2]) == "truncated"


def test_a_flac_from_a_pipe_is_read() -> None:
    known = encoded(tone(), RATE, "FLAC")
    unknown = known[:21] + bytes([known[21] & 0xF0]) + bytes(4) + known[26:]  # STREAMINFO's total of samples
    np.testing.assert_array_equal(read_audio(unknown), read_audio(known))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "MP3"])
def test_tags_before_and_after_the_sound_are_not_heard(kind: str) -> None:
    payload = encoded(tone(), RATE, kind, "MPEG_LAYER_III" if kind == "MP3" else "PCM_16")
    tagged = payload + b"TAG" + bytes(125)
    if kind in {"FLAC", "MP3"}:
        tagged = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + tagged
    assert_is_the_tone(read_audio(tagged), 0.06)


def test_ogg_files_one_after_the_other_are_all_heard() -> None:
    payload = encoded(tone(), RATE, "OGG", "VORBIS")
    assert abs(len(read_audio(payload + encoded(tone(), RATE, "OGG", "VORBIS"))) - RATE) < RATE / 20
