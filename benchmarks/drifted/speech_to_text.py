"""Callers that the shipped `speech_to_text` model hears badly: with an unheard accent, over a telephone.

Of the validation's voices, which no training and no held-out set has.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.drifted.source import Drawn
from models.base import EvaluatedSample, Sample
from models.speech_to_text.audio import RATE
from models.speech_to_text.data.acoustics import RecordingConditions, record
from models.speech_to_text.data.vocabulary import phrase
from models.speech_to_text.data.voices import VARIANTS, VoiceSettings, speak
from models.speech_to_text.data.write_samples import encoded
from models.speech_to_text.word_errors import word_error_rate

ACCENT = "en-029"
"""Caribbean English."""
ROOM = RecordingConditions(reverberant=0.0, narrow=1.0, noisy=1.0, softest_noise_db=25.0, loudest_noise_db=8.0)


def samples(tested: int, logged: int, seed: int) -> Drawn:
    """Calls as WAV files in mu-law with the words that were said."""
    rng = np.random.default_rng([seed, 79])
    made = [_call(number, rng) for number in range(tested + logged)]
    return Drawn(made[:tested], made[tested:])


def _call(number: int, rng: Generator) -> Sample:
    text, variants = phrase(rng), VARIANTS["validation"]
    variant = variants[int(rng.integers(len(variants)))]
    said, rate = speak(
        text, VoiceSettings(f"{ACCENT}+{variant}", int(rng.integers(120, 231)), int(rng.integers(15, 86)), 0)
    )
    payload = encoded(record(said, rate, rng, ROOM), "WAV", "ULAW", RATE // 2)
    return Sample(f"call-{number}.wav", payload, "audio/wav", {"text": text})


def error(judged: Sequence[EvaluatedSample]) -> float:
    """The word error rate."""
    return word_error_rate((one.decoded.output["text"], one.sample.correction["text"]) for one in judged)


def reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """1 where all words are right, else -1."""
    return 1.0 if output["text"] == truth["text"] else -1.0
