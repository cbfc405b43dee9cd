"""Chunks of live sessions become one file, however the recorder writes its headers."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from models.base import Rejected
from models.small.speech_to_text import SpeechToText
from tests.support.recordings import by_ffmpeg, by_libsndfile

SOUND = np.rint(np.sin(np.arange(RATE // 2) / 6) * 9_000).astype(np.float32) / 32_768
FILE = by_libsndfile(SOUND, RATE, "WAV", "PCM_16")
PARTS = [by_libsndfile(part, RATE, "WAV", "PCM_16") for part in np.split(SOUND, 4)]
WHOLE = read_audio(FILE)


def heard(chunks: list[bytes]) -> Samples:
    return read_audio(SpeechToText().assemble(chunks))


@given(cuts=st.lists(st.integers(0, len(FILE)), max_size=5).map(sorted))
def test_the_parts_of_a_file_are_the_file(cuts: list[int]) -> None:
    ends = [0, *cuts, len(FILE)]
    chunks = [FILE[start:stop] for start, stop in pairwise(ends)]
    np.testing.assert_array_equal(heard(chunks), WHOLE)


def test_wav_files_are_joined_by_their_samples() -> None:
    np.testing.assert_array_equal(heard(PARTS), WHOLE)


def test_a_header_that_is_right_for_the_first_chunk_alone_does_not_end_the_session() -> None:
    np.testing.assert_array_equal(heard([PARTS[0], *(part[44:] for part in PARTS[1:]), b""]), WHOLE)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_headers_of_no_known_length_are_left_out_as_well(size: int) -> None:
    streamed = [part[:40] + struct.pack("<I", size) + part[44:] for part in PARTS]
    np.testing.assert_array_equal(heard(streamed), WHOLE)
    np.testing.assert_array_equal(heard([streamed[0], *(part[44:] for part in PARTS[1:])]), WHOLE)


def test_chunks_of_different_rates_are_refused() -> None:
    with pytest.raises(Rejected, match="another encoding, rate") as caught:
        SpeechToText().assemble([PARTS[0], by_libsndfile(SOUND, 8_000, "WAV", "PCM_16")])
    assert caught.value.code == "chunks_differ"


@pytest.mark.parametrize("kind", ["FLAC", "AIFF", "AU", "CAF", "RF64", "W64"])
def test_files_of_which_only_the_first_would_be_heard_are_refused(kind: str) -> None:
    part = by_libsndfile(SOUND, RATE, kind, "PCM_16")
    with pytest.raises(Rejected, match="parts of one file") as caught:
        SpeechToText().assemble([part, part])
    assert caught.value.code == "chunks_are_files"
    for container, codec in (("mp4", "aac"), ("webm", "libopus")):
        with pytest.raises(Rejected):
            SpeechToText().assemble([part, by_ffmpeg(SOUND, 16_000, container, codec)])


@pytest.mark.parametrize(
    ("container", "codec", "pipe"),
    [
        ("webm", "libopus", True),
        ("ogg", "libopus", False),
        ("ogg", "libopus", True),
        ("adts", "aac", False),
        ("mp3", "mp3", False),
        ("mp3", "mp3", True),
    ],
)
def test_files_that_are_streams_are_joined_as_they_are(container: str, codec: str, pipe: bool) -> None:
    parts = [by_ffmpeg(np.repeat(SOUND, 3), 48_000, container, codec, pipe) for _ in range(3)]
    assert abs(len(heard([*parts[:2], b"", parts[2]])) - 3 * len(heard(parts[:1]))) < RATE / 10


def test_the_parts_of_a_browser_s_recording_are_joined_as_they_are() -> None:
    payload = by_ffmpeg(np.tile(SOUND, 3), 48_000, "webm", "libopus", pipe=True)
    assert SpeechToText().assemble([payload[:500], payload[500:900], payload[900:]]) == payload
    assert len(read_audio(payload)) > RATE / 3
    assert SpeechToText().assemble([]) == b""
