"""The version that ships with the project does what its card says, with the weights that set-up has fetched."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import models.speech_to_text
from app.registry.shipped import shipped_versions
from app.testing import TaskTests
from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from models.base import Asked, Decoded
from models.nn.onnx_inference import judge
from models.runtimes import Execution, Runtime, open_version
from models.speech_to_text import SpeechToText
from models.speech_to_text.mu_law import compress
from models.speech_to_text.word_errors import word_error_rate
from models.speech_to_text.words import spoken

TASK = SpeechToText()
CARD = json.loads((Path(models.speech_to_text.__file__).parent / "versions" / "1" / "card.json").read_text())
TIMES = np.arange(4 * RATE) / RATE
NOISE = np.random.default_rng(0).normal(0, 1, 4 * RATE)


class TestSpeechToText(TaskTests):
    task = TASK
    min_sample_score = 0.9
    max_examples = 30
    rejected_payloads = ((b"", "empty"), (b"no audio at all", "not_audio"))
    rejected_corrections = ({"text": "bell \a"}, {})


@cache
def version() -> Runtime:
    return open_version(shipped_versions(TASK)["1"], Execution(threads=2))


def hear(samples: Samples) -> Decoded:
    codes = compress(samples)
    return TASK.decode(version().run({"samples": codes[None]}), [Asked("one", {"samples": codes})])[0]


def test_the_held_out_set_gives_the_card_s_figures() -> None:
    assert CARD["preprocess_version"] == TASK.preprocess_version
    for name, value in TASK.figures(judge(version(), TASK, list(TASK.held_out()))).items():
        assert value == pytest.approx(CARD["figures"][name], abs=0.02), name


@pytest.mark.parametrize(
    "sound",
    [0.2 * NOISE, 0.1 * NOISE * (1 + np.sin(8 * np.pi * TIMES)), 0.9 * np.sin(880 * np.pi * TIMES)],
    ids=["noise", "noise in the rhythm of syllables", "a tone"],
)
def test_what_is_no_voice_gives_no_text(sound: Samples) -> None:
    decoded = hear(sound)
    assert decoded.output == {"text": "", "segments": []}
    assert decoded.confidence > 0.7


def test_a_recording_gives_the_same_alone_and_among_others() -> None:
    features = [TASK.preprocess(sample.payload)["samples"] for sample in list(TASK.held_out())[:4]]
    batch = np.zeros((len(features), max(map(len, features)) + 500), np.uint8)
    for row, codes in enumerate(features):
        batch[row, : len(codes)] = codes
    together = version().run({"samples": batch})
    for row, codes in enumerate(features):
        for name, output in version().run({"samples": codes[None]}).items():
            shape = tuple(map(slice, output[0].shape))
            np.testing.assert_array_equal(together[name][row][shape], output[0], name)


def test_a_long_recording_is_cut_at_its_pauses_and_its_segments_tell_when() -> None:
    samples = [sample for sample in TASK.held_out() if sample.group == "read"]
    sounds = [read_audio(sample.payload) for sample in samples]
    silence = np.zeros(3 * RATE, np.float32)
    decoded = hear(np.concatenate([part for sound in sounds for part in (sound, silence)]))
    segments = decoded.output["segments"]
    assert len(segments) == len(sounds)
    begin = 0.0
    for sound, segment in zip(sounds, segments, strict=True):
        assert segment["start"] == pytest.approx(begin, abs=0.5)
        assert segment["end"] == pytest.approx(begin + len(sound) / RATE, abs=0.5)
        begin += len(sound) / RATE + 3.0
    truth = " ".join(spoken(sample.correction["text"]) for sample in samples)
    assert word_error_rate([(spoken(decoded.output["text"]), truth)]) < 0.1
