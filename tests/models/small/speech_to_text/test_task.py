"""The task's contract: what it imports, pads and decodes, and how it scores."""

import subprocess
import sys
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Asked, Decoded, EvaluatedSample, Sample
from models.nn.ctc import best_path, label_probabilities
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.symbols import BLANK, CLASSES, SPACE, SYMBOLS, decode, encode, unknown_symbols
from models.small.speech_to_text.task import WIDTHS

TASK = SpeechToText()
SOUND = np.repeat(np.array([[50, 150]], np.uint8), 40, axis=0).repeat(10, axis=1)
"""A spectrogram in which something happens."""
words = st.lists(st.text("abcdefgh", min_size=1, max_size=4), max_size=6)


def test_serving_needs_none_of_the_training_libraries() -> None:
    heavy = "{'jax', 'optax', 'onnx', 'sklearn', 'matplotlib', 'pandas', 'scipy'}"
    code = (
        "import sys; from models.small.speech_to_text import SpeechToText; task = SpeechToText();"
        "sample = task.samples()[0];"
        "task.preprocess(sample.payload); next(task.demonstration(0));"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules);"
        "assert not {'app', 'faust', 'pyflink', 'aiokafka'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.text(SYMBOLS, max_size=30))
def test_symbols_come_back_from_their_numbers(text: str) -> None:
    numbers = encode(text)
    assert decode(numbers) == text
    assert all(BLANK < number < CLASSES for number in numbers)
    assert unknown_symbols(text) == ""


def asked(count: int) -> list[Asked]:
    return [Asked(f"speech_to_text:{number}", {"mels": SOUND}) for number in range(count)]


def outputs_saying(*texts: str, certainty: float = 0.999, pause: int = 30) -> dict[str, Any]:
    """Each symbol in a frame of its own with blanks between; `|` is a pause; padding says something else."""
    numbers = [
        [BLANK, *(n for s in text for n in ([BLANK] * pause if s == "|" else [*encode(s), BLANK]))] for text in texts
    ]
    lengths = np.array([len(line) for line in numbers], np.int32)
    probabilities = np.full((len(texts), max(lengths) + 2, CLASSES), (1 - certainty) / (CLASSES - 1), np.float32)
    for row, line in enumerate(numbers):
        probabilities[row, np.arange(len(line)), line] = certainty
        probabilities[row, len(line) :, 5] = certainty
    return {"log_probs": np.log(probabilities), "length": lengths}


@given(st.lists(words, min_size=1, max_size=4))
def test_decode_reads_what_the_outputs_say_and_no_padding(spoken: list[list[str]]) -> None:
    texts = [" ".join(line) for line in spoken]
    for decoded, text in zip(TASK.decode(outputs_saying(*texts), asked(len(texts))), texts, strict=True):
        assert decoded.output["text"] == text
        assert [one["text"] for one in decoded.output["segments"]] == ([text] if text else [])
        assert decoded.propensity == 1.0
        assert 0.5 < decoded.confidence <= 1.0


def test_pauses_split_a_recording_into_segments_with_their_times() -> None:
    (decoded,) = TASK.decode(outputs_saying("yes |no stop| ten"), asked(1))
    assert decoded.output["text"] == "yes no stop ten"
    assert [one["text"] for one in decoded.output["segments"]] == ["yes", "no stop", "ten"]
    times = [second for one in decoded.output["segments"] for second in (one["start"], one["end"])]
    assert times == sorted(times)
    assert TASK.validate_correction(decoded.output) == decoded.output


def test_many_segments_are_read_like_few() -> None:
    (decoded,) = TASK.decode(outputs_saying("|".join(["yes", "no"] * 50)), asked(1))
    assert decoded.output["text"] == " ".join(["yes", "no"] * 50)
    assert len(decoded.output["segments"]) == 100


@given(words)
def test_the_confidence_of_one_segment_is_the_probability_of_its_words_under_ctc(spoken: list[str]) -> None:
    outputs = outputs_saying(" ".join(spoken), certainty=0.8)
    (decoded,) = TASK.decode(outputs, asked(1))
    labels = best_path(outputs["log_probs"], outputs["length"])
    (expected,) = label_probabilities(outputs["log_probs"], outputs["length"], labels, SPACE)
    assert decoded.confidence == pytest.approx(expected)


@given(explore=st.floats(0.0, 1.0), spoken=words)
def test_explored_or_not_the_confidence_is_that_of_the_served_words(explore: float, spoken: list[str]) -> None:
    outputs = outputs_saying(" ".join(spoken), certainty=0.6)
    (served,) = SpeechToText(explore).decode(outputs, asked(1))
    labels = [encode(served.output["text"])]
    (probability,) = label_probabilities(outputs["log_probs"], outputs["length"], labels, SPACE)
    assert served.confidence == pytest.approx(probability)
    best = served.output["text"] == " ".join(spoken)
    assert served.propensity == pytest.approx((1 - explore) * best + explore * probability)


def test_recordings_with_pauses_come_as_often_as_their_propensity_says() -> None:
    line, count = outputs_saying("a|b", certainty=0.98, pause=25), 4_000
    outputs = {name: np.repeat(output, count, axis=0) for name, output in line.items()}
    served = SpeechToText(explore=0.5).decode(outputs, asked(count))
    times = Counter(tuple(segment["text"] for segment in one.output["segments"]) for one in served)
    propensity = {tuple(segment["text"] for segment in one.output["segments"]): one.propensity for one in served}
    assert len({one.propensity for one in served}) > 3
    for heard, how_often in times.most_common(4):
        share = propensity[heard]
        assert how_often / count == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / count))


def test_the_segments_of_a_recording_are_drawn_independently_and_repeat_by_its_id() -> None:
    (one,) = SpeechToText(explore=1.0).decode(outputs_saying("|".join(["a"] * 40), certainty=0.9), asked(1))
    (again,) = SpeechToText(explore=1.0).decode(outputs_saying("|".join(["a"] * 40), certainty=0.9), asked(1))
    assert one == again
    assert len({segment["text"] for segment in one.output["segments"]}) > 5


def test_an_exploration_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        SpeechToText(explore=-0.1)


def test_less_certain_outputs_give_less_confidence() -> None:
    sure, unsure = (TASK.decode(outputs_saying("yes|no", certainty=value), asked(1))[0] for value in (0.999, 0.9))
    assert unsure.confidence < sure.confidence


def test_a_recording_without_content_is_left_to_a_reviewer() -> None:
    constant = Asked("speech_to_text:0", {"mels": np.full((40, 100), 180, np.uint8)})
    outputs = outputs_saying("", "")
    silent, noisy = TASK.decode(outputs, [constant, *asked(1)])
    assert (silent.output, silent.propensity) == (noisy.output, noisy.propensity)
    assert silent.confidence <= 0.1
    assert noisy.confidence > 0.9


@given(width=st.integers(1, 48_000))
def test_recordings_are_padded_to_the_next_step(width: int) -> None:
    padded = TASK.padded({"mels": (40, width), "width": ()})
    assert padded["width"] == ()
    mels, wide = padded["mels"]
    assert mels == 40
    assert width <= wide
    assert wide in WIDTHS or (wide % WIDTHS[-1] == 0 and wide < width + WIDTHS[-1])


@given(truth=words, heard=words)
def test_scores_lie_between_0_and_1_and_only_the_truth_is_perfect(truth: list[str], heard: list[str]) -> None:
    score = TASK.score({"text": " ".join(heard)}, {"text": " ".join(truth)})
    assert 0.0 <= score <= 1.0
    assert (score == 1.0) == (truth == heard)


@given(truth=words.filter(bool), place=st.integers(0, 5))
def test_each_wrong_word_costs_its_share(truth: list[str], place: int) -> None:
    heard = list(truth)
    heard[place % len(truth)] = "zero"
    assert TASK.score({"text": " ".join(heard)}, {"text": " ".join(truth)}) == pytest.approx(1 - 1 / len(truth))


def judged(text: str, truth: str, confidence: float, group: str) -> EvaluatedSample:
    output = {"text": text, "segments": []}
    return EvaluatedSample(Sample("x", b"", "", {"text": truth}, group), Decoded(output, confidence))


def test_figures_are_of_each_group_and_of_all() -> None:
    found = TASK.figures(
        [judged("yes", "yes", 1.0, "a"), judged("no", "yes no", 0.0, "a"), judged("up up", "down", 0.0, "b")]
    )
    assert found["wer_a"] == pytest.approx(1 / 3)
    assert found["wer_b"] == 2.0
    assert found["wer"] == pytest.approx(3 / 4)
    assert found["clips_right"] == pytest.approx(1 / 3)
    assert found["ece"] == 0.0
    assert (found["clips"], found["words"]) == (3, 4)


def test_the_demonstration_is_of_new_recordings_and_repeats_by_seed() -> None:
    shown = list(islice(TASK.demonstration(3), 6))
    assert len({sample.payload for sample in shown}) == len({sample.name for sample in shown}) == 6
    assert [sample.payload for sample in shown] == [sample.payload for sample in islice(TASK.demonstration(3), 6)]
    assert shown[0].payload != next(TASK.demonstration(4)).payload
    for sample in shown:
        assert sample.payload[:4] == b"RIFF"
        assert TASK.preprocess(sample.payload)["mels"].any()
        assert TASK.validate_correction(sample.correction) == sample.correction


def test_samples_are_files_of_every_format_and_one_is_long() -> None:
    samples = TASK.samples()
    assert {sample.content_type for sample in samples} == {"audio/wav", "audio/flac", "audio/ogg"}
    widths = [int(TASK.preprocess(sample.payload)["width"]) for sample in samples]
    assert max(widths) * 0.0125 > 15
    for sample in samples:
        assert TASK.validate_correction(sample.correction) == sample.correction


def test_the_held_out_set_ships_with_voices_and_accents() -> None:
    held_out = list(TASK.held_out())
    assert {sample.group for sample in held_out} == {"unheard_voices", "unheard_accents"}
    assert len(held_out) >= 150
    assert sum(len(sample.payload) for sample in held_out) < 3_000_000
    assert TASK.preprocess(held_out[0].payload)["mels"].any()
