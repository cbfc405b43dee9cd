"""The `speech_to_text` task: from a recording of English speech to its words, with the times of its segments."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.audio.chunks import joined
from models.audio.files import RATE, read_audio
from models.audio.recording import Samples
from models.base import Asked, Decoded, EvaluatedSample, Features, Sample, Shapes, Task
from models.nn.calibration import expected_calibration_error
from models.speech_to_text import near
from models.speech_to_text.confidence import confidence_of
from models.speech_to_text.corrections import checked_correction
from models.speech_to_text.mu_law import compress
from models.speech_to_text.recordings import HELD_OUT, SAMPLES, shipped
from models.speech_to_text.word_errors import edits, word_error_rate
from models.speech_to_text.words import spoken

_LENGTHS = tuple(RATE * seconds for seconds in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64))
"""What recordings are padded to, and beyond these to whole multiples of the last."""
_CONFIDENCE_WITHOUT_SOUND = 0.1
"""That there was nothing to hear is seldom why nothing was recorded."""
_SOUND = 16
"""Codes between the least and the greatest: less is the dither of a microphone that is off."""
_MAX_GAIN = 32.0
"""Thirty decibels: softer recordings than these are noise."""


class SpeechToText(Task):
    """Transcribes English, in recordings of up to ten minutes, with case and punctuation.

    Features: `samples` uint8 (samples,), at 16 kHz, companded (`mu_law`). Outputs of the model: see
    `runtime.SpeechRecognition`.
    """

    name: ClassVar[str] = "speech_to_text"
    preprocess_version: ClassVar[str] = "2"
    error_name: ClassVar[str] = "WER"
    trainer: ClassVar[str | None] = "models.speech_to_text.train:train"
    max_payload_bytes: ClassVar[int] = 64 * 1024 * 1024
    near_bound: ClassVar[int] = near.BOUND

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Return the file of a live session: its chunks joined, WAV files by their samples. Raises `Rejected`."""
        return joined(chunks)

    def preprocess(self, payload: bytes) -> Features:
        """Return the samples of an audio file of any format that libsndfile or FFmpeg reads. Raises `Rejected`."""
        return {"samples": compress(_at_full_scale(read_audio(payload)))}

    def padded(self, shapes: Shapes) -> Shapes:
        """Round lengths up to the next of a few, so that recordings of about the same length share a call."""
        (length,) = shapes["samples"]
        longest = _LENGTHS[-1]
        return {"samples": (next((step for step in _LENGTHS if length <= step), -(-length // longest) * longest),)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the words of each recording, and its segments with times in seconds and their confidence.

        The confidence of a recording, that all its words are right, is the product of those of its segments. Where no
        voice was found, it is the probability that there is none; a recording without any sound is left to a reviewer.
        """
        sounds = [_has_sound(event.features["samples"]) for event in asked] or [True] * len(outputs["voice"])
        return [
            _decoded({name: output[row] for name, output in outputs.items()}, sound) for row, sound in enumerate(sounds)
        ]

    def near_key(self, features: Features, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        """Return the key of a recording of at most 20 seconds; None for longer ones."""
        return near.near_key(features["samples"])

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"text": ...}` as it is written, in single spaces, and `segments` if given. Raises `Rejected`."""
        return checked_correction(correction)

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 - word error rate, at least 0, of the words as they are spoken (`words.spoken`)."""
        truth = spoken(correction["text"])
        return max(0.0, 1.0 - edits(spoken(output["text"]), truth) / max(1, len(truth.split())))

    def samples(self) -> Sequence[Sample]:
        """Return a few recordings of human voices."""
        return shipped(SAMPLES)

    def held_out(self) -> Iterator[Sample]:
        """Return recordings of human voices: none of ours was in training, but the authors' data may hold some."""
        return iter(shipped(HELD_OUT))

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return word error rates, of each group and of all; the share of wholly right recordings; calibration."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for evaluated in judged:
            pair = spoken(evaluated.decoded.output["text"]), spoken(evaluated.sample.correction["text"])
            pairs.setdefault(evaluated.sample.group, []).append(pair)
        all_pairs = [pair for group in pairs.values() for pair in group]
        right = np.array([self.score(one.decoded.output, one.sample.correction) == 1.0 for one in judged])
        confidences = np.array([evaluated.decoded.confidence for evaluated in judged])
        return {
            **{f"wer_{group}": word_error_rate(group_pairs) for group, group_pairs in sorted(pairs.items())},
            "wer": word_error_rate(all_pairs),
            "recordings_right": float(right.mean()),
            "ece": expected_calibration_error(confidences, right),
            "recordings": len(judged),
            "words": sum(len(truth.split()) for _, truth in all_pairs),
        }


def _at_full_scale(samples: Samples) -> Samples:
    """Return the samples as loud as can be: the recogniser hears loudness but does not need it, the codes do."""
    return samples * np.float32(min(_MAX_GAIN, 1.0 / max(1e-9, float(np.abs(samples).max()))))


def _has_sound(codes: NDArray[np.uint8]) -> bool:
    return int(codes.max()) - int(codes.min()) >= _SOUND


def _decoded(outputs: Mapping[str, NDArray[Any]], sound: bool) -> Decoded:
    """Return the output for a recording; chunks without words are no segments."""
    segments: list[dict[str, Any]] = []
    chunks = zip(outputs["spans"].tolist(), outputs["text"], outputs["log_prob"].tolist(), strict=True)
    for (start, stop), letters, log_prob in chunks:
        if text := letters.tobytes().rstrip(b"\0").decode():
            confidence = round(confidence_of(log_prob), 4)
            segments.append(
                {"start": round(start / RATE, 3), "end": round(stop / RATE, 3), "text": text, "confidence": confidence}
            )
    text = " ".join(segment["text"] for segment in segments)
    confidence = prod(segment["confidence"] for segment in segments) if segments else 1.0 - float(outputs["voice"])
    return Decoded(
        {"text": text, "segments": segments}, confidence if sound else min(confidence, _CONFIDENCE_WITHOUT_SOUND)
    )
