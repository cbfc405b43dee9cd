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
LOUDEST = 8.0
"""Float samples lie between -1 and 1; a little more is a loud recording, much more is another scale."""

_BLOCK = 65_536

Samples = NDArray[np.float32]


def read_audio(payload: bytes) -> Samples:
    """The samples of a WAV, FLAC or OGG file, between -1 and 1, channels averaged, resampled to `RATE`, (samples,).

    Read block by block, so that neither a claim nor many channels cost memory. Raises `Rejected`: as
    `check_container`, and `too_many_channels`, `bad_rate`, `no_samples`, `not_finite`, `out_of_range`.
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
                if count > MAX_SECONDS * file.samplerate:
                    raise too_long(count / file.samplerate)
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
    if MAX_SECONDS * file.samplerate < file.frames < 2**62:
        raise too_long(file.frames / file.samplerate)


def _mono(block: NDArray[np.float32]) -> Samples:
    if not np.isfinite(block).all():
        raise Rejected("not_finite", "the audio file holds samples that are no numbers (NaN or infinite)")
    loudest = float(np.abs(block).max())
    if loudest > LOUDEST:
        raise Rejected("out_of_range", f"a float sample of {loudest:g}: they lie between -1 and 1")
    mono: Samples = block.mean(axis=1, dtype=np.float32)
    return mono
