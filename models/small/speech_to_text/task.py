"""The `speech_to_text` task: from a recording to its words. Needs only numpy, soundfile, soxr, av and rapidfuzz."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.audio.chunks import joined
from models.audio.files import read_audio
from models.base import Asked, Decoded, EvaluatedSample, Features, Sample, Shapes, Task
from models.nn.calibration import expected_calibration_error
from models.nn.ctc_policy import ServedLabels, joint_probabilities, serve
from models.nn.exploration import checked_share
from models.small.speech_to_text.corrections import checked_correction
from models.small.speech_to_text.data import clips
from models.small.speech_to_text.mel import has_content, log_mel
from models.small.speech_to_text.segments import Stretch, stretches
from models.small.speech_to_text.symbols import SPACE, decode
from models.speech_to_text.word_errors import edits, word_error_rate

WIDTHS = (128, 192, 256, 384, 512, 768, 1024)
"""What spectrograms are padded to, and beyond these to whole multiples of the last."""
_STRETCHES_PER_BATCH = 32
"""So many stretches are decoded at once."""

_CONFIDENCE_WITHOUT_CONTENT = 0.1
"""That there was nothing to hear is seldom why nothing was recorded."""


class SpeechToText(Task):
    """Transcribes spoken numbers and commands, in recordings of up to ten minutes.

    Features: `mels` uint8 (40, frames), a log-mel spectrogram (`mel.py`), and `width` int32 (), its frames. The model's
    inputs are the same with a batch dimension in front; its outputs are `log_probs` float32 (batch, frames, classes)
    and `length` int32 (batch,), the frames that count.
    """

    name: ClassVar[str] = "speech_to_text"
    preprocess_version: ClassVar[str] = "1"
    error_name: ClassVar[str] = "WER"
    trainer: ClassVar[str | None] = "models.small.speech_to_text.train:train"
    off_policy_evaluator: ClassVar[str | None] = "models.small.speech_to_text.off_policy:evaluate_versions"
    max_payload_bytes: ClassVar[int] = 64 * 1024 * 1024

    def __init__(self, explore: float = 0.0) -> None:
        """Draw the words of the share `explore` of all segments from the network's distribution, to learn from rewards.

        Raises `ValueError` for an invalid share.
        """
        self.explore = checked_share(explore)

    def assemble(self, chunks: Sequence[bytes]) -> bytes:
        """Return the file of a live session: its chunks joined, WAV files by their samples. Raises `Rejected`."""
        return joined(chunks)

    def preprocess(self, payload: bytes) -> Features:
        """Return the spectrogram of an audio file of any format that libsndfile or FFmpeg reads. Raises `Rejected`."""
        mels = log_mel(read_audio(payload))
        return {"mels": mels, "width": np.array(mels.shape[1], np.int32)}

    def padded(self, shapes: Shapes) -> Shapes:
        """Round widths up to the next of a few, so that recordings of about the same length share a batch."""
        mels, width = shapes["mels"]
        longest = WIDTHS[-1]
        wide = next((padded for padded in WIDTHS if width <= padded), -(-width // longest) * longest)
        return {**shapes, "mels": (mels, wide)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the words of each recording, split at pauses, with times in seconds.

        They are the best path's, or drawn, for each segment by itself. So confidence, the probability that all words
        are right (calibrated for the best path), and propensity, which is exact (`models.nn.ctc_policy.serve`), are
        products over the segments. A recording without content (`mel.has_content`) is left to a reviewer: its
        microphone may have been off.
        """
        log_probs, lengths = outputs["log_probs"], outputs["length"]
        parts = [
            (row, stretch)
            for row, (path, length) in enumerate(zip(log_probs.argmax(axis=2), lengths, strict=True))
            for stretch in stretches(path[:length])
        ]
        rngs = [one.rng() for one in asked] if self.explore else []
        served: list[list[tuple[Stretch, ServedLabels]]] = [[] for _ in lengths]
        for start in range(0, len(parts), _STRETCHES_PER_BATCH):
            chosen = parts[start : start + _STRETCHES_PER_BATCH]
            own = [rngs[row] for row, _ in chosen] if self.explore else []
            found = serve(*_windows(log_probs, chosen), self.explore, own, SPACE)
            for (row, stretch), one in zip(chosen, found, strict=True):
                served[row].append((stretch, one))
        contents = [has_content(one.features["mels"]) for one in asked] or [True] * len(served)  # not all callers ask
        return [_decoded(line, content) for line, content in zip(served, contents, strict=True)]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"text": ...}` in small letters, and `segments` if given. Raises `Rejected`."""
        return checked_correction(correction)

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 - word error rate, at least 0: edits of words (Levenshtein) over the number of true words."""
        words = len(correction["text"].split())
        return max(0.0, 1.0 - edits(output["text"], correction["text"]) / max(1, words))

    def samples(self) -> Sequence[Sample]:
        """Return real files of unheard voices: WAV, FLAC and OGG of several rates, one of them long, with pauses."""
        return clips.shipped(clips.SAMPLES)

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Return held-out clips, each time with other noise, at another level and tempo."""
        return clips.stream(seed)

    def held_out(self) -> Iterator[Sample]:
        """Return phrases by unheard voices: heard accents (`unheard_voices`), unheard ones (`unheard_accents`)."""
        return iter(clips.shipped(clips.HELD_OUT))

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return word error rates, of each group and of all; the share of clips that are wholly right; calibration."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for evaluated in judged:
            pair = evaluated.decoded.output["text"], evaluated.sample.correction["text"]
            pairs.setdefault(evaluated.sample.group, []).append(pair)
        all_pairs = [pair for group in pairs.values() for pair in group]
        right = np.array(
            [evaluated.decoded.output["text"] == evaluated.sample.correction["text"] for evaluated in judged]
        )
        confidences = np.array([evaluated.decoded.confidence for evaluated in judged])
        return {
            **{f"wer_{group}": word_error_rate(group_pairs) for group, group_pairs in sorted(pairs.items())},
            "wer": word_error_rate(all_pairs),
            "clips_right": float(right.mean()),
            "ece": expected_calibration_error(confidences, right),
            "clips": len(judged),
            "words": sum(len(truth.split()) for _, truth in all_pairs),
        }


def _windows(log_probs: NDArray[Any], parts: Sequence[tuple[int, Stretch]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the log probabilities of each stretch, (stretches, frames, classes), and the valid frames."""
    lengths = np.array([stretch.stop - stretch.start for _, stretch in parts])
    windows = np.zeros((len(parts), int(lengths.max()), log_probs.shape[2]), log_probs.dtype)
    for place, (row, stretch) in enumerate(parts):
        windows[place, : lengths[place]] = log_probs[row, stretch.start : stretch.stop]
    return windows, lengths


def _decoded(parts: Sequence[tuple[Stretch, ServedLabels]], content: bool) -> Decoded:
    """Return the output for a recording, with or without content; stretches without words are not segments."""
    segments: list[dict[str, Any]] = []
    for stretch, served in parts:
        if served.labels:
            start, end = stretch.seconds()
            segments.append({"start": round(start, 3), "end": round(end, 3), "text": decode(served.labels)})
    text = " ".join(segment["text"] for segment in segments)
    confidence, propensity = joint_probabilities([served for _, served in parts])
    return Decoded(
        {"text": text, "segments": segments},
        confidence if content else min(confidence, _CONFIDENCE_WITHOUT_CONTENT),
        propensity,
    )
