"""The shipped recordings, of voices and accents unseen in training, and the demonstration's stream of them.

`held_out/` is what the model card's figures are measured on, `samples/` a few files such as applications send.
`write_samples.py` has written both.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from models.base import Sample
from models.small.speech_to_text.data.acoustics import RecordingConditions, record

SAMPLES = Path(__file__).parents[1] / "samples"
HELD_OUT = Path(__file__).parents[1] / "held_out"
LIST = "clips.json"
DEMONSTRATION = RecordingConditions(tempo=0.05, reverberant=0.0, narrow=0.0, loudest_noise_db=20.0)
"""The held-out clips have been in one room already."""


@cache
def shipped(directory: Path) -> tuple[Sample, ...]:
    """Return the files of a directory with their truths from its `clips.json`."""
    entries = json.loads((directory / LIST).read_text())
    return tuple(
        Sample(
            entry["name"],
            (directory / entry["name"]).read_bytes(),
            entry["content_type"],
            {"text": entry["text"]},
            entry["group"],
        )
        for entry in entries
    )


def wav(samples: Samples) -> bytes:
    """Return the bytes of a WAV file, 16 bits, 16 kHz."""
    buffer = BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def stream(seed: int) -> Iterator[Sample]:
    """Yield held-out clips without end as WAV files, each time with other noise, level and tempo."""
    rng = np.random.default_rng(seed)
    clips, number = shipped(HELD_OUT), 0
    while True:
        clip = clips[int(rng.integers(len(clips)))]
        samples = record(read_audio(clip.payload), RATE, rng, DEMONSTRATION)
        yield replace(clip, name=f"speech-{seed}-{number}.wav", payload=wav(samples), content_type="audio/wav")
        number += 1
