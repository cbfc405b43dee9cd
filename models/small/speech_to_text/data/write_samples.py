"""`python -m models.small.speech_to_text.data.write_samples`: write `held_out/` and `samples/`, always the same sounds.

Held-out clips are OGG (Opus), so that many fit; the samples are such files as applications send: WAV, FLAC and OGG, of
several rates, mono and stereo, one of them with pauses. All are of the test's voices. Only the serial
numbers of OGG streams differ: libsndfile gives them by chance.
"""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.random import Generator

from models.audio.files import RATE
from models.audio.recording import Samples
from models.base import Sample
from models.small.speech_to_text.data.acoustics import RecordingConditions, record
from models.small.speech_to_text.data.clips import HELD_OUT, LIST, SAMPLES
from models.small.speech_to_text.data.generation import ROOM, Speech, spoken
from models.small.speech_to_text.data.voices import UNHEARD_ACCENTS

SEED = 1_000
CLIPS = 300
QUIET_ROOM = RecordingConditions(tempo=0.0, reverberant=0.5, narrow=0.0, loudest_noise_db=20.0, softest_peak_db=-12.0)
FILES = (
    ("WAV", "PCM_16", RATE, 1, 1),
    ("WAV", "PCM_24", 22_050, 2, 1),
    ("WAV", "ULAW", 8_000, 1, 1),
    ("FLAC", "PCM_16", RATE, 1, 1),
    ("FLAC", "PCM_16", 48_000, 1, 1),
    ("OGG", "VORBIS", 44_100, 1, 1),
    ("OGG", "OPUS", 48_000, 1, 1),
    ("OGG", "OPUS", 16_000, 1, 8),
)
"""Of each sample: format, subtype, rate, channels, phrases."""


def encoded(samples: Samples, kind: str, subtype: str, rate: int = RATE, channels: int = 1) -> bytes:
    """Return the bytes of an audio file."""
    buffer = BytesIO()
    sound = np.repeat(soxr.resample(samples, RATE, rate)[:, None], channels, axis=1)
    soundfile.write(buffer, np.clip(sound, -1, 1), rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def group(speech: Speech) -> str:
    """Return `unheard_accents` for accents that no training has, otherwise `unheard_voices`."""
    return "unheard_accents" if speech.voice.split("+")[0] in UNHEARD_ACCENTS else "unheard_voices"


def held_out(rng: Generator) -> list[Sample]:
    """Return phrases, each in a room as in training."""
    clips = []
    for number in range(CLIPS):
        speech = spoken("test", rng)
        payload = encoded(record(speech.samples, speech.rate, rng, ROOM), "OGG", "OPUS")
        clips.append(Sample(f"{number:03d}.ogg", payload, "audio/ogg", {"text": speech.text}, group(speech)))
    return clips


def samples(rng: Generator) -> list[Sample]:
    """Make one file of each kind."""
    files = []
    for number, (kind, subtype, rate, channels, phrases) in enumerate(FILES):
        speech = spoken("test", rng, phrases)
        payload = encoded(record(speech.samples, speech.rate, rng, QUIET_ROOM), kind, subtype, rate, channels)
        name = f"{number:02d}-{subtype.lower().replace('_', '')}.{kind.lower()}"
        files.append(Sample(name, payload, f"audio/{kind.lower()}", {"text": speech.text}, group(speech)))
    return files


def write(directory: Path, clips: Sequence[Sample]) -> None:
    """Write the files, and their texts."""
    directory.mkdir(exist_ok=True)
    for clip in clips:
        (directory / clip.name).write_bytes(clip.payload)
    entries = [
        {"name": clip.name, "content_type": clip.content_type, "group": clip.group, **clip.correction} for clip in clips
    ]
    (directory / LIST).write_text("[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in entries) + "\n]\n")


def main() -> None:
    """Write both folders."""
    rng = np.random.default_rng(SEED)
    write(HELD_OUT, held_out(rng))
    write(SAMPLES, samples(rng))


if __name__ == "__main__":
    main()
