"""Callers for whom the shipped `speech_to_text` model is bad: with an unseen accent, over a telephone.

The voices are those of the validation split, which are in no training set and in no held-out set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.studies.drifted.source import SourceSamples
from models.audio.files import RATE
from models.base import EvaluatedSample, Sample
from models.small.speech_to_text.data.acoustics import RecordingConditions, record
from models.small.speech_to_text.data.vocabulary import phrase
from models.small.speech_to_text.data.voices import VARIANTS, VoiceSettings, speak
from models.small.speech_to_text.data.write_samples import encoded
from models.speech_to_text.word_errors import word_error_rate

ACCENT = "en-029"
"""Caribbean English."""
ROOM = RecordingConditions(reverberant=0.0, narrow=1.0, noisy=1.0, softest_noise_db=25.0, loudest_noise_db=8.0)


def draw_samples(tested: int, logged: int, seed: int) -> SourceSamples:
    """Draw calls as WAV files in mu-law, with their words."""
    rng = np.random.default_rng([seed, 79])
    calls = [_draw_call(number, rng) for number in range(tested + logged)]
    return SourceSamples(calls[:tested], calls[tested:])


def _draw_call(number: int, rng: Generator) -> Sample:
    text, variants = phrase(rng), VARIANTS["validation"]
    variant = variants[int(rng.integers(len(variants)))]
    speech, rate = speak(
        text, VoiceSettings(f"{ACCENT}+{variant}", int(rng.integers(120, 231)), int(rng.integers(15, 86)), 0)
    )
    payload = encoded(record(speech, rate, rng, ROOM), "WAV", "ULAW", RATE // 2)
    return Sample(f"call-{number}.wav", payload, "audio/wav", {"text": text})


def measure_error(judged: Sequence[EvaluatedSample]) -> float:
    """Return the word error rate."""
    return word_error_rate((call.decoded.output["text"], call.sample.correction["text"]) for call in judged)


def judge_reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return 1 if all words are right, else -1."""
    return 1.0 if output["text"] == truth["text"] else -1.0
