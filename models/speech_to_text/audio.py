"""From the bytes of an audio file to samples at 16 kHz, one channel. Needs numpy, soundfile and soxr."""

from io import BytesIO
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.base import Rejected
from models.speech_to_text.containers import MAX_SECONDS, check_container, too_long, truncated

RATE = 16_000
MAX_CHANNELS = 8
RATES = (4_000, 384_000)
MAX_AMPLITUDE = 8.0
"""Float samples lie between -1 and 1; a little more is a loud recording, much more is another scale."""
MAX_SAMPLES = MAX_SECONDS * 48_000 * 2
"""Of all channels together: ten minutes of stereo at 48 kHz. It bounds the work of decoding, which seconds don't."""
_COSTS = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"), 1),
    **dict.fromkeys(("VORBIS", "IMA_ADPCM", "MS_ADPCM"), 1),
    "OPUS": 2,
}
"""How many samples of `MAX_SAMPLES` one of this encoding counts for, by what decoding it was measured to cost."""
_OTHER_COST = 10  # twelve minutes at 8 kHz: GSM, G.721 and their like are for telephones

_BLOCK = 65_536

Samples = NDArray[np.float32]


def read_audio(payload: bytes) -> Samples:
    """Read a WAV, FLAC or OGG file: samples between -1 and 1, channels averaged, resampled to `RATE`, (samples,).

    Read block by block, so that neither a claim nor many channels cost memory. Raises `Rejected`: as
    `check_container`, and `too_many_channels`, `bad_rate`, `too_many_samples`, `no_samples`, `not_finite`,
    `out_of_range`.
    """
    check_container(payload)
    try:
        with soundfile.SoundFile(BytesIO(payload)) as file:
            _check_header(file)
            resampler = (
                None if file.samplerate == RATE else soxr.ResampleStream(file.samplerate, RATE, 1, quality="VHQ")
            )
            blocks, count = [], 0
            while len(block := file.read(_BLOCK // file.channels, dtype="float32", always_2d=True)):
                count += len(block)
                _check_length(file, count)
                mono = _mono(block)
                blocks.append(mono if resampler is None else resampler.resample_chunk(mono))
            if resampler is not None:
                blocks.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            if 0 < file.frames < 2**62 and count < file.frames:
                raise truncated()
    except soundfile.LibsndfileError as error:
        raise Rejected("broken", f"the audio file is damaged, or cut: {error.error_string}") from error
    if not count:
        raise Rejected("no_samples", "the audio file holds no samples: send at least a word")
    return np.concatenate(blocks)


def _check_header(file: Any) -> None:
    if file.channels > MAX_CHANNELS:
        raise Rejected("too_many_channels", f"{file.channels} channels: at most {MAX_CHANNELS} are taken")
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise Rejected("bad_rate", f"{file.samplerate} samples a second: {RATES[0]} to {RATES[1]} are taken")
    if file.frames < 2**62:  # or it is not known
        _check_length(file, file.frames)


def _check_length(file: Any, frames: int) -> None:
    if frames > MAX_SECONDS * file.samplerate:
        raise too_long(frames / file.samplerate)
    most = MAX_SAMPLES // _COSTS.get(file.subtype, _OTHER_COST) // file.channels
    if frames > most:
        raise Rejected(
            "too_many_samples",
            f"{frames:,} samples in each of {file.channels} channels: at most {most:,} are taken of {file.subtype}; "
            "send it with a lower rate or fewer channels, or in parts",
        )


def _mono(block: NDArray[np.float32]) -> Samples:
    if not np.isfinite(block).all():
        raise Rejected("not_finite", "the audio file holds samples that are not numbers (NaN or infinite)")
    loudest = float(np.abs(block).max())
    if loudest > MAX_AMPLITUDE:
        raise Rejected("out_of_range", f"a float sample of {loudest:g}: they lie between -1 and 1")
    mono: Samples = block.mean(axis=1, dtype=np.float32)
    return mono
