"""Decoding with FFmpeg (PyAV) what libsndfile doesn't read: M4A, 3GP, WebM, AMR, AAC, WMA and more.

FFmpeg opens nothing but the bytes that it is given: containers that refer to other files or addresses (playlists, such
as HLS and concat) are not on the list, and no protocol is allowed. Video is never decoded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from models.base import Rejected
from models.speech_to_text.recording import Recording, Samples, broken, truncated

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "amr", "aac", "loas", "asf", "mp3", "flac", "wav", "w64", "aiff",
    "au", "caf", "nistsphere", "ac3", "eac3", "mpegts",
)  # fmt: skip
_TIMED = _CONTAINERS[:2]
"""These declare how long they are, to a fraction of a second. Of others FFmpeg estimates it."""
_MOVIE_BOX, _MATROSKA = b"ftyp", b"\x1aE\xdf\xa3"
_COSTS = dict.fromkeys(("aac", "mp3float", "flac", "vorbis", "alac"), 1)
"""What decoding a sample of this codec was measured to cost, as of `libsndfile`."""
_OTHER_COST = 10
_CODECS = (
    *_COSTS, "opus", "libopus", "aac_latm", "mp1float", "mp2float", "amrnb", "amrwb", "libopencore_amrnb",
    "libopencore_amrwb", "speex", "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "ac3", "eac3", "shorten",
    "gsm", "gsm_ms", "g722", "g726", "qcelp", "evrc", "ilbc", "truespeech", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_ms",
    "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be",
)  # fmt: skip
_OPTIONS = {
    "format_whitelist": ",".join(_CONTAINERS),
    "codec_whitelist": ",".join(_CODECS),
    "protocol_whitelist": "none",
    "max_streams": "16",
    "probesize": "1000000",
}


@contextmanager
def opened(payload: bytes) -> Iterator[Recording]:
    """Open a file. Raises `Rejected`: `not_audio`, `no_sound`, `broken`; decoding `broken`, `truncated`."""
    import av  # 18 MB and 50 ms, which most files don't need

    try:
        container = av.open(BytesIO(payload), options=_OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        if payload.startswith(_MATROSKA) or payload[4:8] == _MOVIE_BOX:
            raise broken("no index of its sound") from error
        raise Rejected("not_audio", f"no audio file is known that starts with {payload[:8]!r}") from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise Rejected("no_sound", f"a file of {container.format.long_name} without sound: send one with sound")
        codec = stream.codec_context
        if codec.name not in _CODECS or not codec.sample_rate or not codec.channels:
            raise Rejected("bad_codec", f"sound encoded as {codec.name} is not read: send WAV, FLAC, MP3, M4A or WebM")
        duration = container.duration if container.format.name in _TIMED and len(container.streams) == 1 else None
        yield Recording(
            rate=codec.sample_rate,
            channels=codec.channels,
            frames=None if duration is None else duration * codec.sample_rate // av.time_base,
            encoding=codec.name,
            cost=_COSTS.get(codec.name, _OTHER_COST),
            blocks=_blocks(container, stream),
            missing=codec.sample_rate // 2,
        )


def _blocks(container: Any, stream: Any) -> Iterator[Samples]:
    import av

    form = stream.codec_context.sample_rate, stream.codec_context.channels
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise truncated()
            for frame in packet.decode():
                if (frame.sample_rate, frame.layout.nb_channels) != form:
                    raise broken("its rate or its channels change on the way")
                yield _samples(frame)
    except av.FFmpegError as error:
        raise broken(error.strerror or str(error)) from error


def _samples(frame: Any) -> Samples:
    """Return a frame's samples between -1 and 1, (n, channels)."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype == np.uint8:
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if values.dtype.kind == "i":
        return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    return np.asarray(values, np.float32)
