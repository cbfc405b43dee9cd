"""Lengths that containers declare: those of streams are read to the end, those of cut files are refused."""

import struct
import tracemalloc
from itertools import product

import numpy as np
import pytest

from models.audio.containers import IMPLAUSIBLE_BYTES, LAYOUTS, find_data, with_true_length
from models.audio.files import RATE, read_audio
from models.audio.recording import MAX_SECONDS, Samples
from models.base import Rejected
from tests.support.recordings import by_libsndfile

SOUND = (np.sin(np.arange(RATE // 4) / 6) / 2).astype(np.float32)
KINDS = ["WAV", "AIFF", "AU", "CAF", "RF64", "W64"]
CUT = [(kind, "PCM_16") for kind in [*KINDS, "NIST", "FLAC"]] + [("OGG", "VORBIS"), ("OGG", "OPUS")]
STREAMED = [
    0, 0x80000000, 0x7FFFFFFF, 2_000_000_000, 0xFFFFFFDB, 0xFFFFFFFF, 0x7FFFF000, 0x40000000, 1_100_000_000, 0xFFFFFF00,
]  # fmt: skip


def written(kind: str, subtype: str = "PCM_16") -> bytes:
    return by_libsndfile(SOUND, RATE, kind, subtype)


def declaring(payload: bytes, size: int) -> bytes:
    """Return the file with another declared length."""
    data = find_data(payload)
    assert data is not None
    most = 256**data.written.size - 1
    return payload[: data.at] + data.written.pack(min(size, most)) + payload[data.at + data.written.size :]


def code(payload: bytes) -> str | None:
    try:
        read_audio(payload)
    except Rejected as rejected:
        return rejected.code
    return None


def heard(kind: str) -> Samples:
    return read_audio(written(kind))


@pytest.mark.parametrize(("kind", "size"), list(product(KINDS, STREAMED)))
def test_a_file_that_was_written_to_a_pipe_is_read_to_its_end(kind: str, size: int) -> None:
    np.testing.assert_array_equal(read_audio(declaring(written(kind), size)), heard(kind))


@pytest.mark.parametrize("size", [2**64 - 1, 2**63 - 1, 2**40])
@pytest.mark.parametrize("kind", ["CAF", "W64"])
def test_long_lengths_of_streams_are_known_too(kind: str, size: int) -> None:
    np.testing.assert_array_equal(read_audio(declaring(written(kind), size)), heard(kind))


@pytest.mark.parametrize("size", [0, 2**64 - 1, 0xFFFFFFFF])
def test_an_rf64_whose_long_length_was_never_written_is_read_to_its_end(size: int) -> None:
    payload = written("RF64")
    at = payload.index(b"ds64") + 16
    payload = payload[:at] + struct.pack("<Q", size) + payload[at + 8 :]
    np.testing.assert_array_equal(read_audio(declaring(payload, 0xFFFFFFFF)), heard("RF64"))


@pytest.mark.parametrize("frames", [0, 0xFFFFFFFF, 0x7F000000])
def test_an_aiff_that_counts_its_frames_wrong_is_read_to_its_end(frames: int) -> None:
    payload = written("AIFF")
    at = payload.index(b"COMM") + 10
    payload = payload[:at] + struct.pack(">I", frames) + payload[at + 4 :]
    np.testing.assert_array_equal(read_audio(declaring(payload, 0)), heard("AIFF"))


@pytest.mark.parametrize(("kind", "subtype"), CUT)
def test_a_file_cut_anywhere_is_refused(kind: str, subtype: str) -> None:
    payload = written(kind, subtype)
    cuts = {*range(1, 60), *range(60, len(payload) - 1, 197), len(payload) - 1}
    if kind == "OGG":  # without a last page it is a stream
        pages = {at for at in range(len(payload)) if payload.startswith(b"OggS", at)}
        cuts -= pages
    codes = {code(payload[:cut]) for cut in cuts}
    assert codes <= {"truncated", "broken", "not_audio"}
    assert codes == {"truncated"} or kind in {"FLAC", "NIST", "CAF", "AU", "OGG"}


def test_an_ogg_without_its_last_page_is_read_as_far_as_it_goes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 2 * RATE).clip(-1, 1).astype(np.float32)
    payload = by_libsndfile(noise, RATE, "OGG", "VORBIS")
    cut = payload[: payload.rfind(b"OggS")]
    assert RATE / 2 < len(read_audio(cut)) < 2 * RATE


def test_the_samples_of_a_recording_without_any_are_not_the_chunk_that_follows() -> None:
    empty = by_libsndfile(SOUND[:0], RATE, "WAV", "PCM_16")
    assert code(empty + b"LIST" + struct.pack("<I", 4) + b"INFO") == "no_samples"


def test_chunks_after_the_samples_are_not_heard() -> None:
    payload = written("WAV") + b"LIST" + struct.pack("<I", 1_000) + bytes(1_000)
    np.testing.assert_array_equal(read_audio(payload), heard("WAV"))


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (MAX_SECONDS * 2 * RATE, "truncated"),
        ((MAX_SECONDS + 1) * 2 * RATE, "too_long"),
        (8 * 3_600 * 2 * RATE, "too_long"),
        (IMPLAUSIBLE_BYTES - 1, "too_long"),
    ],
)
def test_a_plausible_length_that_is_not_there_is_refused_by_the_header_alone(size: int, reason: str) -> None:
    payload = declaring(written("WAV"), size)
    tracemalloc.start()
    assert code(payload) == reason
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_left_as_it_is(kind: str) -> None:
    payload = written(kind)
    assert with_true_length(payload) is payload


def test_samples_that_begin_behind_the_end_are_not_there() -> None:
    payload = written("AU")
    for size in (0, 1_000, 0xFFFFFFFF):
        assert code(payload[:4] + struct.pack(">II", 1_000_000, size) + payload[12:]) == "truncated"


def test_what_is_in_no_container_of_chunks_declares_no_length() -> None:
    assert find_data(b"just some text, that is long enough") is None
    assert len({layout.magic for layout in LAYOUTS}) == len(LAYOUTS)
