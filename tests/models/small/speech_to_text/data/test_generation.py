"""Made speech: the same by seed, no voice of the tests in it, and what is said without espeak-ng."""

import numpy as np
import pytest

from models.base import Untrainable
from models.small.speech_to_text.data.generation import make_utterances
from models.small.speech_to_text.data.vocabulary import MAX_WORDS, VOCABULARY, phrase
from models.small.speech_to_text.data.voices import (
    ACCENTS,
    UNHEARD_ACCENTS,
    VARIANTS,
    VoiceSettings,
    speak,
    voice_settings,
)
from models.small.speech_to_text.mel import MELS
from models.small.speech_to_text.symbols import unknown_symbols


def test_no_variant_is_in_two_splits_and_unheard_accents_are_the_test_s_alone() -> None:
    names = [name for split in VARIANTS for name in VARIANTS[split]]
    assert len(names) == len(set(names))
    assert not set(ACCENTS) & set(UNHEARD_ACCENTS)
    for split in VARIANTS:
        rng = np.random.default_rng(0)
        voices = [voice_settings(split, rng).voice.split("+") for _ in range(1_000)]
        assert {variant for _, variant in voices} == set(VARIANTS[split])
        assert {accent for accent, _ in voices} == {*ACCENTS, *(UNHEARD_ACCENTS if split == "test" else ())}


def test_phrases_have_one_to_six_words_of_the_vocabulary_and_use_all_of_it() -> None:
    rng = np.random.default_rng(0)
    phrases = [phrase(rng).split() for _ in range(3_000)]
    assert {len(words) for words in phrases} == set(range(1, MAX_WORDS + 1))
    assert {word for words in phrases for word in words} == set(VOCABULARY)
    assert not unknown_symbols(" ".join(VOCABULARY))


@pytest.mark.needs("espeak-ng")
def test_every_voice_speaks() -> None:
    for split, variants in VARIANTS.items():
        for variant in variants:
            samples, rate = speak("yes", VoiceSettings(f"en-gb+{variant}", 200, 50, 0))
            assert 0.1 < len(samples) / rate < 2.0, (split, variant)
    lengths = {
        accent: len(speak("turn on", VoiceSettings(accent, 170, 50, 0))[0]) for accent in (*ACCENTS, *UNHEARD_ACCENTS)
    }
    assert min(lengths.values()) > 2_000


@pytest.mark.needs("espeak-ng")
def test_utterances_depend_on_seed_and_split_alone() -> None:
    first, again = (make_utterances("train", 12, 7, processes=1) for _ in range(2))
    for one, same in zip(first, again, strict=True):
        assert one.text == same.text
        np.testing.assert_array_equal(one.signal, same.signal)
        assert one.signal.shape[0] == MELS
    for other in (make_utterances("train", 12, 8, processes=1), make_utterances("validation", 12, 7, processes=1)):
        assert [one.text for one in other] != [one.text for one in first]


def test_a_machine_without_espeak_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Untrainable, match="apt install espeak-ng"):
        make_utterances("train", 1, 0)


@pytest.mark.needs("espeak-ng")
def test_a_voice_that_espeak_does_not_have_is_named() -> None:
    with pytest.raises(Untrainable, match="xx-nowhere"):
        speak("yes", VoiceSettings("xx-nowhere", 170, 50, 0))
