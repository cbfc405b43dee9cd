"""Voices of espeak-ng, split by voice: no voice of the test is in training.

A voice is an accent spoken by a variant, such as `en-us+f2`. Variants (relatives together) were dealt out by chance;
two accents are heard in the test alone. Those that are robots, demons or loudspeakers are left out.
"""

import shutil
import subprocess
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
import soundfile
from numpy.random import Generator

from models.audio.recording import Samples
from models.base import Untrainable

Split = Literal["train", "validation", "test"]

ACCENTS = ("en-us", "en-us-nyc", "en-gb", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-gb-x-gbclan")
UNHEARD_ACCENTS = ("en-gb-scotland", "en-029")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": _names("""
        Alex Alicia Andy AnxiousAndy Annie Diogo Lee Marco Mario Michael Mike RicishayMax RicishayMax2 RicishayMax3
        Storm Tweaky adam anika aunty belinda caleb croak david ed edward edward2 f1 f2 f3 f4 grandma gustave iven
        iven2 iven3 iven4 john kaukovalta klatt klatt3 klatt4 klatt6 linda m2 m3 m4 m6 marcelo max michel miguel
        norbert paul quincy rob robert shelby steph steph2 steph3 travis whisper whisperf zac
    """),
    "validation": _names("Denis Gene Gene2 antonio benjamin boris f5 klatt2 pablo"),
    "test": _names("Andrea Henrique Hugo Jacky Nguyen grandpa klatt5 m1 m5 m7 m8 pedro sandro victor"),
}


@dataclass(frozen=True)
class VoiceSettings:
    """How a text is spoken: a voice, words a minute, pitch (0 to 99), the gap between words in steps of 10 ms."""

    voice: str
    speed: int
    pitch: int
    gap: int


def voice_settings(split: Split, rng: Generator) -> VoiceSettings:
    """Choose one of the split's voices, speed and pitch. A third of the test's speaks an unheard accent."""
    accents = UNHEARD_ACCENTS if split == "test" and rng.random() < 1 / 3 else ACCENTS
    accent, variant = (names[int(rng.integers(len(names)))] for names in (accents, VARIANTS[split]))
    gap = int(rng.integers(1, 12)) if rng.random() < 0.3 else 0
    return VoiceSettings(f"{accent}+{variant}", int(rng.integers(120, 231)), int(rng.integers(15, 86)), gap)


def need_espeak() -> None:
    """Raise `Untrainable`, with the remedy, where espeak-ng is missing."""
    if shutil.which("espeak-ng") is None:
        raise Untrainable(
            "espeak-ng, which speaks the training's phrases, is not installed. "
            "Install it: apt install espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS)."
        )


def speak(text: str, settings: VoiceSettings) -> tuple[Samples, int]:
    """Return the text spoken, without the silence around it, between -1 and 1; and its rate. Raises `Untrainable`."""
    need_espeak()
    options = ["-v", settings.voice, "-s", str(settings.speed), "-p", str(settings.pitch), "-g", str(settings.gap)]
    completed = subprocess.run(["espeak-ng", *options, "--stdout", text], capture_output=True, check=False)
    if completed.returncode or not completed.stdout:
        raise Untrainable(
            f"espeak-ng can't speak as {settings.voice}: {completed.stderr.decode(errors='replace').strip()}. "
            "Version 1.51 or later is needed."
        )
    samples, rate = soundfile.read(BytesIO(completed.stdout), dtype="float32")
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=0.0))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples, rate
