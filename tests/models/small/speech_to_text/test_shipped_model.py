"""The model that ships with the project does what its card says."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.random import default_rng

import models.small.speech_to_text
from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from models.base import Asked, Decoded, EvaluatedSample
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import from_onnx
from models.nn.ctc_evaluation import parity
from models.nn.onnx_inference import judge, padded_inputs, run, session
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.data.clips import wav
from models.small.speech_to_text.mel import FRAME_SECONDS
from models.small.speech_to_text.training.network import SIGNAL
from models.speech_to_text.word_errors import word_error_rate

VERSION = Path(models.small.speech_to_text.__file__).parent / "versions" / "1"
CARD = json.loads((VERSION / "card.json").read_text())
TASK = SpeechToText()
TIMES = np.arange(2 * RATE, dtype=np.float32) / RATE


@cache
def model() -> Any:
    return session((VERSION / "model.onnx").read_bytes())


@cache
def judged() -> tuple[EvaluatedSample, ...]:
    """The whole held-out set, from files to predictions."""
    return tuple(judge(model(), TASK, list(TASK.held_out())))


def hear(samples: Samples) -> Decoded:
    features = TASK.preprocess(wav(samples))
    ((_, outputs),) = run(model(), TASK, [features])
    return TASK.decode(outputs, [Asked("one", features)])[0]


def test_the_card_meets_what_was_promised() -> None:
    figures = CARD["figures"]
    assert CARD["task"] == TASK.name
    assert CARD["preprocess_version"] == TASK.preprocess_version
    assert figures["wer_unheard_voices"] <= 0.15
    assert figures["ece"] <= 0.1
    assert figures["parity_max_abs_diff"] < 1e-3
    assert CARD["model bytes"] == (VERSION / "model.onnx").stat().st_size < 4_000_000


def test_the_held_out_set_gives_the_card_s_figures() -> None:
    for name, value in TASK.figures(judged()).items():
        assert value == pytest.approx(CARD["figures"][name], abs=0.005), name


def test_right_predictions_are_surer_than_wrong_ones() -> None:
    right = np.array([one.decoded.output["text"] == one.sample.correction["text"] for one in judged()])
    confidences = np.array([one.decoded.confidence for one in judged()])
    assert confidences[right].mean() > confidences[~right].mean() + 0.1


def test_onnx_runtime_agrees_with_jax() -> None:
    parameters, temperature = from_onnx(onnx.load(VERSION / "model.onnx"))
    shape: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in CARD["network"].items()
    }
    inputs = [TASK.preprocess(sample.payload) for sample in list(TASK.held_out())[:8]]
    batch = padded_inputs(inputs, {"mels": (40, 512), "width": ()})
    assert parity(ConvCtc(**shape), parameters, temperature, model(), SIGNAL, batch) < 1e-3


def test_a_recording_gives_the_same_alone_and_padded_among_others() -> None:
    inputs = [TASK.preprocess(sample.payload) for sample in list(TASK.held_out())[:12]]
    together, lengths = model().run(["log_probs", "length"], padded_inputs(inputs, {"mels": (40, 600), "width": ()}))
    for row, one in enumerate(inputs):
        alone, length = model().run(["log_probs", "length"], {name: tensor[None] for name, tensor in one.items()})
        assert length[0] == lengths[row] == alone.shape[1]
        np.testing.assert_allclose(together[row, : length[0]], alone[0], atol=2e-4)


@pytest.mark.parametrize("level", [1e-4, 3e-3, 0.1])
def test_noise_gives_no_text(level: float) -> None:
    noise = default_rng(0).normal(0, level, 2 * RATE).astype(np.float32)
    decoded = hear(noise)
    assert decoded.output == {"text": "", "segments": []}
    assert decoded.confidence > 0.5


@pytest.mark.parametrize(
    "sound",
    [0 * TIMES, 0 * TIMES + 0.3, 0.3 * np.sin(100 * np.pi * TIMES), default_rng(0).uniform(-3e-5, 3e-5, 2 * RATE)],
)
def test_without_content_nothing_is_said_with_little_confidence(sound: Samples) -> None:
    decoded = hear(sound)
    assert decoded.output == {"text": "", "segments": []}
    assert decoded.confidence <= 0.1


def test_shipped_samples_are_mostly_heard() -> None:
    pairs = [
        (one.decoded.output["text"], one.sample.correction["text"]) for one in judge(model(), TASK, TASK.samples())
    ]
    assert word_error_rate(pairs) < 0.2


def test_a_long_recording_is_split_at_its_pauses_where_they_are() -> None:
    clips = [one for one in judged() if one.decoded.output["text"] == one.sample.correction["text"]]
    clips = [one for one in clips if len(one.decoded.output["segments"]) == 1][:8]
    silence = np.zeros(RATE, np.float32)
    sounds = [read_audio(one.sample.payload) for one in clips]
    decoded = hear(np.concatenate([part for sound in sounds for part in (sound, silence)]))
    truths = [one.sample.correction["text"] for one in clips]
    assert [one["text"] for one in decoded.output["segments"]] == truths
    assert decoded.output["text"] == " ".join(truths)
    begin = 0.0
    for sound, one, segment in zip(sounds, clips, decoded.output["segments"], strict=True):
        (alone,) = one.decoded.output["segments"]
        for edge in ("start", "end"):
            assert segment[edge] == pytest.approx(begin + alone[edge], abs=4 * FRAME_SECONDS)
        begin += len(sound) / RATE + 1.0
