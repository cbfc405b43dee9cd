"""Files that libsndfile does not read: what FFmpeg may open, and how far."""

import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio.files import RATE, read_audio
from models.audio.recording import MAX_SAMPLES, MAX_SECONDS
from models.base import Rejected
from tests.support.recordings import by_ffmpeg, by_libsndfile, encode

SOUND = (np.sin(np.arange(3 * RATE) / 6) / 2).astype(np.float32)
M4A = by_ffmpeg(SOUND, RATE, "mp4", "aac")
WEBM = by_ffmpeg(np.tile(SOUND, 2), 48_000, "webm", "libopus")


def code(payload: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        read_audio(payload)
    assert str(caught.value)
    return caught.value.code


def test_playlists_and_other_references_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(by_libsndfile(SOUND, RATE, "WAV", "PCM_16"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    concat = f"ffconcat version 1.0\nfile {secret}\n"
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    assert {code(text.encode()) for text in (playlist, concat, session)} == {"not_audio"}


@pytest.mark.parametrize(
    "payload", [b"RIFF1234AVI ", b"\x89PNG\r\n\x1a\n" + bytes(99), bytes(99), b"<html>no</html>" * 99]
)
def test_what_is_no_audio_is_refused(payload: bytes) -> None:
    assert code(payload) == "not_audio"


@pytest.mark.parametrize("payload", [M4A, WEBM], ids=["M4A", "WEBM"])
def test_a_file_cut_anywhere_is_refused(payload: bytes) -> None:
    cuts = {*range(40, len(payload) * 9 // 10, 1_397)}
    assert {code(payload[:cut]) for cut in cuts} <= {"truncated", "broken", "no_samples"}


def test_a_file_that_is_too_long_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("models.audio.ffmpeg._samples")
    silence = np.zeros(8_000 * (MAX_SECONDS + 1), np.float32)
    assert code(by_ffmpeg(silence, 8_000, "mov", "pcm_mulaw")) == "too_long"


def test_work_is_bounded_while_a_file_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.recording.MAX_SAMPLES", MAX_SAMPLES // MAX_SECONDS // 4)
    assert code(by_ffmpeg(np.tile(SOUND, 2), 48_000, "webm", "libopus", pipe=True)) == "too_many_samples"


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + name + content


def film(container: str, video: str, audio: str | None) -> bytes:
    """A file with a picture of three seconds, and `SOUND` at 48 kHz."""
    target = BytesIO()
    with av.open(target, "w", format=container) as file:
        picture: Any = file.add_stream(video, rate=5)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        sound = file.add_stream(audio, rate=48_000, layout="mono") if audio else None
        if sound:
            sound.codec_context.open()
        for number in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8)).reformat(format="yuv420p")
            frame.pts = number
            file.mux(picture.encode(frame))
        file.mux(picture.encode(None))
        if sound:
            encode(file, sound, np.repeat(SOUND, 3)[:, None])
    return target.getvalue()


@pytest.mark.parametrize(
    ("container", "video", "audio"),
    [
        ("mp4", "mpeg4", "aac"),
        ("mov", "mpeg4", "pcm_s16le"),
        ("3gp", "mpeg4", "aac"),
        ("matroska", "mpeg4", "libopus"),
        ("mpegts", "mpeg2video", "mp2"),
    ],
)
def test_the_sound_of_a_film_is_read(container: str, video: str, audio: str) -> None:
    samples = read_audio(film(container, video, audio))
    assert abs(len(samples) - 3 * RATE) < RATE / 4
    assert np.std(samples) > 0.2


def test_a_film_without_sound_is_refused() -> None:
    assert {code(film(container, "mpeg4", None)) for container in ("mp4", "matroska")} == {"no_sound"}


def test_a_cover_picture_is_passed_over() -> None:
    at = M4A.index(b"moov") - 4
    picture = box(b"data", struct.pack(">II", 13, 0), b"\xff\xd8\xff" + bytes(5_000))
    names = box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4), names, box(b"ilst", box(b"covr", picture))))
    assert M4A.index(b"mdat") < at  # so that nothing that is counted from the beginning moves
    payload = M4A[:at] + struct.pack(">I", len(M4A) - at + len(tags)) + M4A[at + 4 :] + tags
    np.testing.assert_array_equal(read_audio(payload), read_audio(M4A))


def test_packets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.ffmpeg._MAX_PACKETS", 10)
    assert code(WEBM) == "broken"


def test_streams_are_bounded() -> None:
    assert code(by_ffmpeg(SOUND, 48_000, "matroska", "libopus", streams=17)) == "too_many_streams"
    assert len(read_audio(by_ffmpeg(SOUND, 48_000, "matroska", "libopus", streams=3))) > RATE / 4


@given(place=st.integers(0, 100_000), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_damage_anywhere_is_refused_or_read_but_never_an_error(place: int, value: int) -> None:
    for payload in (M4A, WEBM):
        damaged = bytearray(payload)
        damaged[place % len(payload)] = value
        try:
            assert read_audio(bytes(damaged)).dtype == np.float32
        except Rejected as refused:
            assert refused.code


def test_files_that_libsndfile_reads_do_not_need_ffmpeg() -> None:
    script = (
        "import sys; from models.small.speech_to_text import SpeechToText; task = SpeechToText();"
        "[task.preprocess(sample.payload) for sample in task.samples()]; assert 'av' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
