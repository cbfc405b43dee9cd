"""The decoder's loop, over networks that say what they are told."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.audio.files import RATE
from models.speech_to_text.recogniser import MIN_SECONDS, Recogniser, Transcript, without_loop
from models.speech_to_text.vocabulary import BEGIN, END

SYMBOLS = 8


class Encoder:
    """Returns a state of one number for each frame: the number of samples."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        assert names == ["last_hidden_state"]
        assert feeds["attention_mask"].shape == feeds["input_values"].shape
        length = feeds["input_values"].shape[1]
        self.lengths.append(length)
        return [np.full((1, length // 384, 1), length, np.float32)]


class Decoder:
    """Writes the tokens that it is told for each chunk, each with probability 0.5; its cache counts the steps."""

    def __init__(self, *texts: Sequence[int]) -> None:
        self.texts = texts
        self.frames: list[list[int]] = []

    def get_inputs(self) -> list[Any]:
        return [
            SimpleNamespace(name="input_ids", shape=["batch", "length"]),
            SimpleNamespace(name="past_key_values.0.decoder.key", shape=["batch", 1, "past", 1]),
            SimpleNamespace(name="past_key_values.0.encoder.key", shape=["batch", 1, "frames", 1]),
        ]

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        first = not feeds["use_cache_branch"][0]
        count = len(self.texts)
        step = 0 if first else feeds["past_key_values.0.decoder.key"].shape[2]
        if first:
            self.frames = feeds["encoder_attention_mask"][:, ::384].tolist()
            assert feeds["input_ids"].tolist() == [[BEGIN]] * count
        else:
            assert (feeds["past_key_values.0.encoder.key"] == 7).all()
            assert feeds["input_ids"][:, 0].tolist() == [token_at(text, step - 1) for text in self.texts]
        probabilities = np.full((count, 1, SYMBOLS), 0.5 / (SYMBOLS - 1), np.float32)
        for row, text in enumerate(self.texts):
            probabilities[row, 0, token_at(text, step)] = 0.5
        outputs = {
            "logits": np.log(probabilities) + 3,
            "present.0.decoder.key": np.zeros((count, 1, step + 1, 1), np.float32),
            "present.0.encoder.key": np.full((count, 1, 1, 1), 7, np.float32),
        }
        return [outputs[name] for name in names]


def token_at(text: Sequence[int], step: int) -> int:
    return text[step] if step < len(text) else 3


def transcribe(*texts: Sequence[int], seconds: float = 2.0) -> list[Transcript]:
    recogniser = Recogniser(Encoder(), Decoder(*texts))
    return recogniser.transcribe([np.zeros(int(seconds * RATE), np.float32)] * len(texts))


def test_tokens_are_written_up_to_the_end_with_their_probability() -> None:
    (found,) = transcribe([5, 6, 5, END])
    assert found.tokens == [5, 6, 5]
    assert found.log_prob == pytest.approx(4 * np.log(0.5))


def test_chunks_end_one_by_one() -> None:
    first, second, third = transcribe([5, END], [END], [6, 5, 6, 4, END])
    assert [first.tokens, second.tokens, third.tokens] == [[5], [], [6, 5, 6, 4]]
    assert [one.log_prob for one in (first, second, third)] == pytest.approx(np.log(0.5) * np.array([2, 1, 5]))


def test_a_decoder_that_goes_on_for_ever_is_stopped() -> None:
    (found,) = transcribe([number % 5 + 3 for number in range(100)], seconds=1.0)
    assert len(found.tokens) == 7


def test_a_decoder_that_repeats_itself_for_ever_is_heard_once() -> None:
    (found,) = transcribe([4, *[5, 6] * 100], seconds=2.0)
    assert found.tokens == [4, 5, 6]


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([5, 5, 5, 5], [5]),
        ([4, 6, 5, 6, 5, 6, 5], [4, 6, 5]),
        ([4, 6, 5, 6, 5, 6], [4, 6, 5, 6, 5, 6]),
        ([4, 5, 6, 7], [4, 5, 6, 7]),
        ([], []),
    ],
)
def test_a_loop_is_what_ends_in_three_repeats(tokens: list[int], kept: list[int]) -> None:
    assert without_loop(tokens) == kept


def test_chunks_of_other_lengths_are_masked_and_short_ones_filled_with_silence() -> None:
    encoder, decoder = Encoder(), Decoder([END], [END])
    samples = [np.zeros(10, np.float32), np.zeros(RATE, np.float32)]
    Recogniser(encoder, decoder).transcribe(samples)
    assert encoder.lengths == [int(MIN_SECONDS * RATE), RATE]
    assert [sum(row) for row in decoder.frames] == [length // 384 for length in encoder.lengths]
