"""From the bytes of an audio file to samples at 16 kHz, one channel. Needs numpy, soundfile and soxr.

libsndfile identifies and reads what it can, FFmpeg the rest, for which av is imported.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import soxr

from models.audio import ffmpeg, libsndfile
from models.audio.channels import Mixer
from models.audio.containers import with_true_length
from models.audio.recording import Recording, Samples, broken
from models.base import Rejected

RATE = 16_000
MAX_AMPLITUDE = 8.0
"""Float samples lie between -1 and 1; a little more is a loud recording, much more is another scale."""

Decoder = Callable[[bytes], AbstractContextManager[Recording]]


def read_audio(payload: bytes) -> Samples:
    """Read an audio file: samples between -1 and 1, channels averaged, resampled to `RATE`, (samples,).

    If the channels cancel each other, the strongest is taken instead. Raises `Rejected`: `empty`, `not_audio`,
    `no_sound`, `bad_codec`, `too_many_streams`, `truncated`, `broken`, `too_long`, `too_many_channels`, `bad_rate`,
    `too_many_samples`, `no_samples`, `not_finite`, `out_of_range`.
    """
    if not payload:
        raise Rejected("empty", "the value is empty: send the bytes of an audio file, such as WAV, FLAC, MP3 or M4A")
    payload = with_true_length(payload)
    try:
        return _decode(payload, libsndfile.opened)
    except libsndfile.Unreadable as error:
        try:
            return _decode(payload, ffmpeg.opened)
        except Rejected as rejected:
            if rejected.code != "not_audio" or error.unknown:
                raise
            raise broken(str(error)) from error


def _decode(payload: bytes, decoder: Decoder) -> Samples:
    mixer = Mixer()
    samples = _decode_mixed(payload, decoder, mixer)
    return samples if mixer.strongest is None else _decode_mixed(payload, decoder, Mixer(mixer.strongest))


def _decode_mixed(payload: bytes, decoder: Decoder, mixer: Mixer) -> Samples:
    """Read block by block, so that neither a claim nor many channels cost memory."""
    with decoder(payload) as recording:
        recording.check_header()
        parts, count = [], 0
        resampler = None if recording.rate == RATE else soxr.ResampleStream(recording.rate, RATE, 1, quality="VHQ")
        for block in recording.blocks:
            count += len(block)
            recording.check_decoded(count)
            _check_values(block)
            mono = mixer.mix(block, recording.rate)
            parts.append(mono if resampler is None else resampler.resample_chunk(mono))
        if not count:
            raise Rejected("no_samples", "the audio file holds no samples: send at least a word")
        if resampler is not None:
            parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts)


def _check_values(block: Samples) -> None:
    if not np.isfinite(block).all():
        raise Rejected("not_finite", "the audio file holds samples that are not numbers (NaN or infinite)")
    loudest = float(np.abs(block).max())
    if loudest > MAX_AMPLITUDE:
        raise Rejected("out_of_range", f"a float sample of {loudest:g}: they lie between -1 and 1")
