"""The utterances that the network is trained, chosen and tested on: the same for the same seed, on any machine.

espeak-ng says them, in voices of the split alone; a room by chance is recorded around them.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context

import numpy as np
from numpy.random import Generator

from models.audio.files import RATE
from models.audio.recording import Samples
from models.base import OnStep
from models.nn.ctc import LabelledSignal
from models.small.speech_to_text.data.acoustics import RecordingConditions, record
from models.small.speech_to_text.data.vocabulary import phrase
from models.small.speech_to_text.data.voices import Split, need_espeak, speak, voice_settings
from models.small.speech_to_text.mel import log_mel

ROOM = RecordingConditions()
TAKES = 3
"""How often a spoken phrase is recorded, each time in another room."""
WORDLESS_SHARE, TWOFOLD_SHARE = 0.03, 0.1
PAUSE_SECONDS = 0.6, 1.5
CHUNK = 200
_SPLIT_NUMBER: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Speech:
    """Words as spoken, before any room: samples between -1 and 1, their rate, and who spoke."""

    samples: Samples
    rate: int
    text: str
    voice: str


def spoken(split: Split, rng: Generator, phrases: int = 1) -> Speech:
    """Speak phrases in one of the split's voices, with a pause after each but the last."""
    settings, texts, samples = voice_settings(split, rng), [], []
    for number in range(phrases):
        texts.append(phrase(rng))
        sound, rate = speak(texts[-1], settings)
        samples += [np.zeros(int(rate * rng.uniform(*PAUSE_SECONDS)) if number else 0, np.float32), sound]
    return Speech(np.concatenate(samples), rate, " ".join(texts), settings.voice)


def make_utterances(
    split: Split,
    count: int,
    seed: int,
    on_made: Callable[[int], None] = lambda made: None,
    processes: int | None = None,
) -> list[LabelledSignal]:
    """Return recordings of the split's voices, made on all cores. `on_made(made)`. Raises `Untrainable`."""
    need_espeak()
    made: list[LabelledSignal] = []
    for chunk in _chunks(split, count, seed, processes or os.cpu_count() or 1):
        made += chunk
        on_made(len(made))
    return made


def make_split(split: Split, count: int, seed: int, on_step: OnStep) -> list[LabelledSignal]:
    """Make utterances, and report progress as a training does."""
    return make_utterances(split, count, seed, lambda done: on_step(f"making {split} data", done, count))


def _chunks(split: Split, count: int, seed: int, processes: int) -> Iterator[list[LabelledSignal]]:
    starts = range(0, count, CHUNK)
    arguments = repeat(split), [min(CHUNK, count - start) for start in starts], repeat(seed), starts
    if processes == 1 or len(starts) == 1:
        yield from map(_chunk, *arguments)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_chunk, *arguments)


def _chunk(split: Split, count: int, seed: int, start: int) -> list[LabelledSignal]:
    rng = np.random.default_rng([seed, _SPLIT_NUMBER[split], start])
    utterances: list[LabelledSignal] = []
    while len(utterances) < count:
        speech = _speech(split, rng)
        for _ in range(min(TAKES, count - len(utterances))):
            utterances.append(LabelledSignal(log_mel(record(speech.samples, speech.rate, rng, ROOM)), speech.text))
    return utterances


def _speech(split: Split, rng: Generator) -> Speech:
    """Speak mostly one phrase, sometimes two with a pause between, sometimes nothing."""
    kind = rng.random()
    if kind < WORDLESS_SHARE:
        return Speech(np.zeros(int(RATE * rng.uniform(0.1, 1.5)), np.float32), RATE, "", "")
    return spoken(split, rng, phrases=2 if kind < WORDLESS_SHARE + TWOFOLD_SHARE else 1)
