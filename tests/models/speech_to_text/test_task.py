"""The task's contract: what it sends, decodes and scores."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from models.audio.files import RATE
from models.base import Asked, Decoded, EvaluatedSample, Sample
from models.speech_to_text import SpeechToText
from models.speech_to_text.mu_law import NO_SAMPLE, SILENCE

TASK = SpeechToText()
SOUND = np.tile(np.array([SILENCE - 40, SILENCE + 40], np.uint8), 500)
words = st.lists(st.sampled_from(["yes", "no", "stop", "ten"]), max_size=6)


def outputs_saying(*recordings: list[str], log_prob: float = -0.1, voice: float = 0.9) -> dict[str, Any]:
    """A chunk for each text, one second each, with a second between."""
    count = max(1, *(len(texts) for texts in recordings))
    longest = max(1, *(len(text.encode()) for texts in recordings for text in texts), 1)
    outputs: dict[str, Any] = {
        "spans": np.zeros((len(recordings), count, 2), np.int32),
        "text": np.zeros((len(recordings), count, longest), np.uint8),
        "log_prob": np.zeros((len(recordings), count), np.float32),
        "voice": np.full(len(recordings), voice, np.float32),
    }
    for row, texts in enumerate(recordings):
        for place, text in enumerate(texts):
            outputs["spans"][row, place] = 2 * place * RATE, (2 * place + 1) * RATE
            outputs["text"][row, place, : len(text.encode())] = np.frombuffer(text.encode(), np.uint8)
            outputs["log_prob"][row, place] = log_prob
    return outputs


def decode(outputs: dict[str, Any], sound: Any = SOUND) -> list[Decoded]:
    count = len(outputs["voice"])
    return TASK.decode(outputs, [Asked(f"speech_to_text:{row}", {"samples": sound}) for row in range(count)])


def test_chunks_with_words_are_the_segments() -> None:
    first, second = decode(outputs_saying(["Yes.", "", "Café, “no”"], ["Stop"]))
    assert first.output["text"] == "Yes. Café, “no”"
    assert [(one["start"], one["end"], one["text"]) for one in first.output["segments"]] == [
        (0.0, 1.0, "Yes."),
        (4.0, 5.0, "Café, “no”"),
    ]
    assert second.output["text"] == "Stop"
    assert TASK.validate_correction(first.output)["text"] == first.output["text"]


def test_the_confidence_is_the_product_of_the_segments_and_falls_with_their_probability() -> None:
    sure, unsure = (decode(outputs_saying(["Yes.", "No."], log_prob=value))[0] for value in (-0.1, -3.0))
    assert unsure.confidence < sure.confidence
    for decoded in (sure, unsure):
        assert decoded.confidence == pytest.approx(np.prod([one["confidence"] for one in decoded.output["segments"]]))
        assert decoded.propensity == 1.0


def test_nothing_is_said_as_surely_as_there_is_no_voice() -> None:
    (decoded,) = decode(outputs_saying([], voice=0.2))
    assert decoded.output == {"text": "", "segments": []}
    assert decoded.confidence == pytest.approx(0.8)


@pytest.mark.parametrize("sound", [np.full(1_000, code, np.uint8) for code in (SILENCE, SILENCE + 1, 220)])
def test_a_recording_without_any_sound_is_left_to_a_reviewer(sound: Any) -> None:
    (decoded,) = decode(outputs_saying([], voice=0.0), sound)
    assert decoded.confidence <= 0.1


@given(length=st.integers(1, 600 * RATE))
def test_recordings_are_padded_by_a_third_and_a_second_at_most(length: int) -> None:
    (padded,) = TASK.padded({"samples": (length,)})["samples"]
    assert length <= padded <= max(length + RATE, length * 3 / 2 + 1, length + 64 * RATE * (length > 64 * RATE))


def test_samples_fit_their_codes_and_padding_is_none_of_them() -> None:
    features = TASK.preprocess(TASK.samples()[0].payload)
    assert features["samples"].dtype == np.uint8
    assert (features["samples"] != NO_SAMPLE).all()


SWELL = np.sin(np.arange(RATE) / 20) * np.linspace(0, 1, RATE)


@pytest.mark.parametrize("level", [0.04, 4.0])
def test_soft_and_loud_recordings_have_the_same_codes(level: float) -> None:
    usual, other = (TASK.preprocess(float_wav(SWELL * peak))["samples"].astype(int) for peak in (0.5, level))
    assert np.abs(usual - other).max() <= 1
    assert usual.max() == 255


def test_what_is_softer_than_any_voice_stays_soft() -> None:
    assert TASK.preprocess(float_wav(SWELL * 1e-4))["samples"].max() < SILENCE + 20


def float_wav(samples: Any) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@given(truth=words, heard=words)
def test_scores_lie_between_0_and_1_and_only_the_truth_is_perfect(truth: list[str], heard: list[str]) -> None:
    score = TASK.score({"text": " ".join(heard)}, {"text": " ".join(truth)})
    assert 0.0 <= score <= 1.0
    assert (score == 1.0) == (truth == heard)


def test_case_and_punctuation_are_not_errors() -> None:
    assert TASK.score({"text": "Yes, it's ten o’clock!"}, {"text": "yes it's Ten o'clock"}) == 1.0
    assert TASK.score({"text": "yes no"}, {"text": "yes no stop ten"}) == 0.5


def judged(text: str, truth: str, confidence: float, group: str) -> EvaluatedSample:
    output = {"text": text, "segments": []}
    return EvaluatedSample(Sample("x", b"", "", {"text": truth}, group), Decoded(output, confidence))


def test_figures_are_of_each_group_and_of_all() -> None:
    found = TASK.figures(
        [judged("Yes.", "yes", 1.0, "a"), judged("no", "yes no", 0.0, "a"), judged("up up", "down", 0.0, "b")]
    )
    assert found["wer_a"] == pytest.approx(1 / 3)
    assert found["wer_b"] == 2.0
    assert found["wer"] == pytest.approx(3 / 4)
    assert found["recordings_right"] == pytest.approx(1 / 3)
    assert found["ece"] == 0.0
    assert (found["recordings"], found["words"]) == (3, 4)


def test_a_live_session_is_joined_into_one_recording() -> None:
    payload = TASK.samples()[0].payload
    assert TASK.assemble([payload[:1_000], payload[1_000:]]) == payload
