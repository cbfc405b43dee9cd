"""The runtime of `speech_to_text`: voice activity, then an encoder and a decoder for each chunk with voice."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.audio.recording import Samples
from models.manifest import VersionFiles
from models.runtimes.base import Execution, Runtime, Tensors, TensorSpec
from models.speech_to_text.mu_law import expand
from models.speech_to_text.recogniser import Recogniser
from models.speech_to_text.vocabulary import read_vocabulary, text_of
from models.speech_to_text.voice_activity import WINDOW, Probabilities, chunks, voice_probabilities

VOICE_ACTIVITY, VOCABULARY = "voice_activity.onnx", "tokenizer.bin"
ENCODER, DECODER = "encoder_model.ort", "decoder_model_merged.ort"
ADAPTER = "decoder.onnx_adapter"
"""The decoder's weights that were learned from feedback, in versions that did: they replace those in its file."""
CHUNKS_PER_CALL = 4
"""More take more memory and are hardly faster."""

_Place = tuple[int, int, int]
"""The row of a recording, and the first sample of a chunk and the first after it."""


class _Chunk(NamedTuple):
    row: int
    start: int
    stop: int
    text: bytes
    log_prob: float


_INPUTS = {"samples": TensorSpec(np.dtype(np.uint8), (None, None))}
_OUTPUTS = {
    "spans": TensorSpec(np.dtype(np.int32), (None, None, 2)),
    "text": TensorSpec(np.dtype(np.uint8), (None, None, None)),
    "log_prob": TensorSpec(np.dtype(np.float32), (None, None)),
    "voice": TensorSpec(np.dtype(np.float32), (None,)),
}


class SpeechRecognition(Runtime):
    """A version of four files: the network of voice activity, encoder, decoder and vocabulary; and maybe an adapter.

    The threads work on the chunks of all recordings of a call at once. The decoder takes several chunks together, all
    of one recording (`Recogniser` says why).
    """

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the files."""
        self.inputs, self.outputs = _INPUTS, _OUTPUTS
        single = replace(execution, threads=1)
        self._voice_activity = single.open(files.path(VOICE_ACTIVITY))
        adapter = files.path(ADAPTER) if ADAPTER in files.manifest.files else None
        decoder = single.open(files.path(DECODER), adapter)
        self._recogniser = Recogniser(single.open(files.path(ENCODER)), decoder)
        self._vocabulary = read_vocabulary(files.path(VOCABULARY).read_bytes())
        self._threads = ThreadPoolExecutor(execution.threads or os.cpu_count(), "speech")

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Return the chunks of each recording: `spans`, in samples, `text` in UTF-8, its probability; and `voice`.

        `voice` is the greatest probability of voice in any window of a recording.
        """
        recordings = [expand(codes) for codes in feeds["samples"]]
        voices = list(self._threads.map(self._probabilities, recordings))
        places = [
            (row, start * WINDOW, min(stop * WINDOW, len(samples)))
            for row, (samples, probabilities) in enumerate(zip(recordings, voices, strict=True))
            for start, stop in chunks(probabilities)
        ]
        heard = self._threads.map(lambda group: self._hear(recordings[group[0][0]], group), _groups(places))
        rows: list[list[_Chunk]] = [[] for _ in recordings]
        for chunk in sorted(chunk for group in heard for chunk in group):
            rows[chunk.row].append(chunk)
        voice = np.array([probabilities.max(initial=0.0) for probabilities in voices], np.float32)
        return {**_padded(rows), "voice": voice}

    def _probabilities(self, samples: Samples) -> Probabilities:
        return voice_probabilities(self._voice_activity, samples)

    def _hear(self, samples: Samples, group: Sequence[_Place]) -> list[_Chunk]:
        transcripts = self._recogniser.transcribe([samples[start:stop] for _, start, stop in group])
        texts = [text_of(transcript.tokens, self._vocabulary).encode() for transcript in transcripts]
        return [
            _Chunk(*place, text, transcript.log_prob)
            for place, text, transcript in zip(group, texts, transcripts, strict=True)
        ]


def _groups(places: Sequence[_Place]) -> list[list[_Place]]:
    """Return the chunks that the decoder takes together: of one recording, and of about the same length."""
    groups = []
    for _, own in groupby(places, key=lambda place: place[0]):
        by_length = sorted(own, key=lambda place: place[2] - place[1])
        groups += [by_length[start : start + CHUNKS_PER_CALL] for start in range(0, len(by_length), CHUNKS_PER_CALL)]
    return groups


def _padded(rows: Sequence[Sequence[_Chunk]]) -> dict[str, NDArray[Any]]:
    """Return the chunks of all recordings as tensors, which have at least one chunk and one byte."""
    count = max(1, *(len(row) for row in rows))
    longest = max((len(chunk.text) for row in rows for chunk in row), default=0) or 1
    spans = np.zeros((len(rows), count, 2), np.int32)
    text = np.zeros((len(rows), count, longest), np.uint8)
    log_prob = np.zeros((len(rows), count), np.float32)
    for row, row_chunks in enumerate(rows):
        for place, chunk in enumerate(row_chunks):
            spans[row, place] = chunk.start, chunk.stop
            text[row, place, : len(chunk.text)] = np.frombuffer(chunk.text, np.uint8)
            log_prob[row, place] = chunk.log_prob
    return {"spans": spans, "text": text, "log_prob": log_prob}
