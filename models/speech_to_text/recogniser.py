"""The recogniser: an encoder of a chunk's samples and a decoder that writes its tokens one after the other.

Moonshine (Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024): a
transformer on raw samples whose work grows with the chunk's length. The decoder keeps the keys and values of the tokens
so far, so each step takes one token of each chunk.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.audio.files import RATE
from models.audio.recording import Samples
from models.speech_to_text.vocabulary import BEGIN, END

TOKENS_PER_SECOND = 6.5
"""No speaker is faster: the authors stop there, because a decoder may repeat itself for ever."""
MIN_SECONDS = 0.5
"""Shorter chunks are filled with silence: the encoder's convolutions need something to work on."""
_SAMPLES_PER_FRAME = 384
"""The product of the strides of the encoder's convolutions."""
_REPEATS = 3
_PAST, _PRESENT = "past_key_values.", "present."

Feeds = dict[str, NDArray[Any]]


class Transcript(NamedTuple):
    """The tokens of a chunk, and the logarithm of the probability that the decoder gives to them and to their end."""

    tokens: list[int]
    log_prob: float


class Recogniser:
    """An encoder and a decoder as Optimum exports them: one file for the first token and all others, with a cache.

    Both are quantised by the range of all values of a call, so a chunk's tokens may depend on those beside it: chunks
    that share a call must be of one recording, if what is returned for it shall depend on it alone. The encoder runs
    for each chunk alone: it would not be faster otherwise.
    """

    def __init__(self, encoder: onnxruntime.InferenceSession, decoder: onnxruntime.InferenceSession) -> None:
        """Take the names and the sizes of the cache from the decoder."""
        self._encoder, self._decoder = encoder, decoder
        self._cache_shapes = {
            tensor.name.removeprefix(_PAST): [size if isinstance(size, int) else 1 for size in tensor.shape[1:]]
            for tensor in decoder.get_inputs()
            if tensor.name.startswith(_PAST)
        }

    def transcribe(self, chunks: Sequence[Samples]) -> list[Transcript]:
        """Return the most probable tokens of each chunk, each token given those before it (greedy)."""
        limits = [int(np.ceil(len(samples) / RATE * TOKENS_PER_SECOND)) for samples in chunks]
        feeds = self._encoded(chunks)
        tokens: list[list[int]] = [[] for _ in chunks]
        log_probs, running, ended = [0.0] * len(chunks), set(range(len(chunks))), set()
        updated = list(self._cache_shapes)
        last = np.full(len(chunks), BEGIN)
        while running:
            last, step = self._step(feeds, last, updated)
            updated = [name for name in self._cache_shapes if ".decoder." in name]
            for row in list(running):
                log_probs[row] += step[row]
                if last[row] == END:
                    ended.add(row)
                elif len(tokens[row]) < limits[row]:
                    tokens[row].append(int(last[row]))
                    continue
                running.remove(row)
        return [
            Transcript(row_tokens if row in ended else without_loop(row_tokens), log_probs[row])
            for row, row_tokens in enumerate(tokens)
        ]

    def _encoded(self, chunks: Sequence[Samples]) -> Feeds:
        """Return the decoder's inputs before the first step, the states of all chunks padded to the longest."""
        states = [self.encode(samples) for samples in chunks]
        frames = max(len(state) for state in states)
        hidden = np.zeros((len(states), frames, states[0].shape[1]), np.float32)
        mask = np.zeros((len(states), frames * _SAMPLES_PER_FRAME), np.int64)
        for row, state in enumerate(states):
            hidden[row, : len(state)] = state
            mask[row, : len(state) * _SAMPLES_PER_FRAME] = 1
        cache = {
            _PAST + name: np.zeros((len(states), *shape), np.float32) for name, shape in self._cache_shapes.items()
        }
        return {
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": mask,
            "use_cache_branch": np.array([False]),
            **cache,
        }

    def encode(self, samples: Samples) -> NDArray[np.float32]:
        """Return the encoder's states of a chunk, (frames, features)."""
        values = np.zeros((1, max(len(samples), int(MIN_SECONDS * RATE))), np.float32)
        values[0, : len(samples)] = samples
        feeds = {"input_values": values, "attention_mask": np.ones(values.shape, np.int64)}
        state: NDArray[np.float32] = self._encoder.run(["last_hidden_state"], feeds)[0][0]
        return state

    def _step(
        self, feeds: Feeds, tokens: NDArray[np.int64], updated: Sequence[str]
    ) -> tuple[NDArray[np.int64], list[float]]:
        """Return the most probable next tokens and their log probabilities; put keys and values into `feeds`."""
        feeds["input_ids"] = tokens[:, None]
        logits, *present = self._decoder.run(["logits", *(_PRESENT + name for name in updated)], feeds)
        feeds |= {_PAST + name: values for name, values in zip(updated, present, strict=True)}
        feeds["use_cache_branch"] = np.array([True])
        best = logits[:, -1].argmax(axis=1)
        above = logits[:, -1] - logits[np.arange(len(best)), -1, best][:, None]
        return best, (-np.log(np.exp(above, dtype=np.float64).sum(axis=1))).tolist()


def without_loop(tokens: list[int]) -> list[int]:
    """Return tokens whose end repeats itself three times or more with the first of these repeats alone."""
    for period in range(1, len(tokens) // _REPEATS + 1):
        repeated = 0
        while repeated < len(tokens) - period and tokens[-1 - repeated] == tokens[-1 - repeated - period]:
            repeated += 1
        if repeated >= (_REPEATS - 1) * period:
            return tokens[: len(tokens) - repeated]
    return tokens
