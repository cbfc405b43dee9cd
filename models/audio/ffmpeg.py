"""Decoding with FFmpeg (PyAV) what libsndfile doesn't read: M4A, 3GP, WebM, AMR, AAC, WMA and more.

FFmpeg opens nothing but the bytes that it is given: containers that refer to other files or addresses (playlists, such
as HLS and concat) are not on the list, and no protocol is allowed. Video is never decoded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np

from models.audio.recording import Recording, Samples, broken, truncated
from models.base import Rejected

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "amr", "aac", "loas", "asf", "mp3", "flac", "wav", "w64", "aiff",
    "au", "caf", "nistsphere", "ac3", "eac3", "mpegts",
)  # fmt: skip
_TIMED = _CONTAINERS[:2]
"""These declare how long they are, to a fraction of a second. Of others FFmpeg estimates it."""
_MOVIE_BOX, _MATROSKA = b"ftyp", b"\x1aE\xdf\xa3"
_CHEAP = (
    "aac", "aac_latm", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "flac", "vorbis", "opus", "libopus",
    "alac", "ac3", "eac3", "wmav1", "wmav2", "wmapro", "adpcm_ima_wav", "adpcm_ms", "pcm_alaw", "pcm_mulaw",
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le",
    "pcm_f32be", "pcm_f64le", "pcm_f64be",
)  # fmt: skip
"""Codecs whose sample costs what one of `libsndfile` of cost 1 does, or less: up to 55 ns were measured."""
_OTHER_CODECS = (
    "amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "speex", "wmalossless", "wmavoice", "shorten", "gsm",
    "gsm_ms", "g722", "g726", "qcelp", "evrc", "ilbc", "truespeech",
    "adpcm_ima_qt",
)  # fmt: skip
_OTHER_COST = 5  # twelve minutes at 16 kHz: these are for telephones
_MAX_STREAMS = 16
_MAX_PACKETS = 300_000
"""Ten minutes in packets of 2.5 ms are 240,000."""
_TIME_BASE = 1_000_000  # AV_TIME_BASE
_MISSING_SECONDS = 0.2
"""Encoders declare what they add at either end, two or three packets, and decoders leave out."""
_MAX_DAMAGED = 0.1
_BLOCK = 65_536
_OPTIONS = {
    "format_whitelist": ",".join(_CONTAINERS),
    "codec_whitelist": ",".join((*_CHEAP, *_OTHER_CODECS)),
    "protocol_whitelist": "none",
    "probesize": "1000000",
}


@contextmanager
def opened(payload: bytes) -> Iterator[Recording]:
    """Open a file. Raises `Rejected`: as `read_audio`."""
    import av  # 18 MB and 50 ms, which most files don't need

    try:
        container: Any = av.open(BytesIO(payload), options=_OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        if payload.startswith(_MATROSKA) or payload[4:8] == _MOVIE_BOX:
            raise broken("no index of its sound") from error
        raise Rejected("not_audio", f"no audio file is known that starts with {payload[:8]!r}") from error
    with container:
        if len(container.streams) > _MAX_STREAMS:
            raise Rejected("too_many_streams", f"{len(container.streams)} streams: at most {_MAX_STREAMS} are taken")
        stream = container.streams.best("audio")
        if stream is None:
            raise Rejected("no_sound", f"a file of {container.format.long_name} without sound: send one with sound")
        codec = stream.codec_context
        if codec is None or codec.name not in (*_CHEAP, *_OTHER_CODECS):
            name = "a codec without a name" if codec is None else codec.name
            raise Rejected("bad_codec", f"sound encoded as {name} is not read: send WAV, FLAC, MP3, M4A or WebM")
        end = _declared_end(container)
        frames = _frames(container, stream, end)
        first = next(frames, None)  # only a decoded frame is sure to have the rate and the channels
        rate = first.sample_rate if first else codec.sample_rate
        yield Recording(
            rate=rate,
            channels=first.layout.nb_channels if first else codec.channels,
            frames=None if end is None else int(end * rate),
            encoding=codec.name,
            cost=1 if codec.name in _CHEAP else _OTHER_COST,
            blocks=_blocks(chain([first], frames) if first else frames),
        )


def _declared_end(container: Any) -> float | None:
    """Return where the sound ends, in seconds; None where FFmpeg estimates it, or another stream may be longer."""
    if container.format.name not in _TIMED or container.duration is None or len(container.streams) > 1:
        return None
    return float(max(0, container.start_time or 0) + container.duration) / _TIME_BASE


def _blocks(frames: Iterator[Any]) -> Iterator[Samples]:
    """Yield the samples of many frames together."""
    parts: list[Samples] = []
    count = 0
    for frame in frames:
        parts.append(_samples(frame))
        count += parts[-1].size
        if count >= _BLOCK:
            yield np.concatenate(parts)
            parts, count = [], 0
    if parts:
        yield np.concatenate(parts)


def _frames(container: Any, stream: Any, end: float | None) -> Iterator[Any]:
    """Decode packet by packet. Raises `Rejected`: `truncated` if the last one ends before the declared `end`."""
    import av

    reached, first = 0.0, None
    try:
        for frame in chain.from_iterable(_decoded(container, stream)):
            first = first or (frame.sample_rate, frame.layout.nb_channels)
            if first != (frame.sample_rate, frame.layout.nb_channels):
                raise broken("its rate or its channels change on the way")
            reached = (frame.time or 0.0) + frame.samples / frame.sample_rate
            yield frame
    except av.FFmpegError as error:
        raise broken(error.strerror or str(error)) from error
    except IndexError as error:  # av knows only the streams that were there when it was opened
        raise broken("another stream begins on the way") from error
    if end is not None and reached + _MISSING_SECONDS < end:
        raise truncated()


def _decoded(container: Any, stream: Any) -> Iterator[list[Any]]:
    """Yield the frames of each packet. MP3 may have some that are none: where files were joined, or tagged."""
    import av

    damaged = number = 0
    for number, packet in enumerate(container.demux(stream), 1):
        if number > _MAX_PACKETS:
            raise broken(f"more than {_MAX_PACKETS:,} packets; save it again")
        if packet.is_corrupt:
            raise truncated()
        try:
            yield packet.decode()
        except av.InvalidDataError:
            damaged += 1
            if container.format.name != "mp3":
                raise
    if damaged > _MAX_DAMAGED * number:
        raise broken(f"{damaged:,} of {number:,} packets are no MP3")


def _samples(frame: Any) -> Samples:
    """Return a frame's samples between -1 and 1, (n, channels)."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return np.asarray((values.astype(np.float32) - 128) / 128, np.float32)
    if values.dtype.kind == "i":
        return np.asarray(values / -float(np.iinfo(values.dtype).min), np.float32)
    return np.asarray(values, np.float32)
