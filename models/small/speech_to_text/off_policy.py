"""Off-policy evaluation of `speech_to_text`: see `models.output_off_policy`.

Each stretch of a recording is drawn by itself, and versions cut a recording at different frames. A version serves a
logged output if its stretches give the same words in their order: so its probability is a sum over the ways to divide
the words among its stretches, each word into one that overlaps the word's logged segment. The logged propensity is that
of the division as it was; others that would have given the same words are taken to be improbable.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models import output_off_policy
from models.base import OnStep
from models.datasets import Row
from models.nn.ctc import Floats
from models.nn.ctc_policy import propensities
from models.nn.onnx_inference import Outputs
from models.policy_value import PolicyValue
from models.small.speech_to_text.segments import SECONDS_PER_FRAME, Stretch, stretches
from models.small.speech_to_text.symbols import SPACE, encode
from models.small.speech_to_text.task import SpeechToText


class _Word(NamedTuple):
    """A word, and the first and the last stretch that it may be in."""

    text: str
    first: int
    last: int


def evaluate_versions(
    task: SpeechToText, dataset: Path, versions: Sequence[Path], seed: int, on_step: OnStep
) -> list[PolicyValue]:
    """Value versions, see `models.training.OffPolicyEvaluator`; nothing is drawn. Raises `Untrainable`."""

    def served_probabilities(outputs: Outputs, rows: Sequence[Row]) -> Floats:
        heard = zip(outputs["log_probs"], outputs["length"], rows, strict=True)
        return np.array(
            [words_probability(frames[:length], row.output["segments"], task.explore) for frames, length, row in heard]
        )

    return output_off_policy.evaluate_versions(task, dataset, versions, on_step, served_probabilities)


def words_probability(log_probs: Floats, segments: Sequence[Mapping[str, Any]], explore: float) -> float:
    """Return the probability of serving the words of these segments from log probabilities (frames, classes)."""
    parts = stretches(log_probs.argmax(axis=1))
    words = [word for segment in segments for word in _placed(segment, parts)]
    reached = {0: 1.0}  # the number of words so far: the probability of having served just these
    for number, part in enumerate(parts):
        spans = [
            (start, end)
            for start in reached
            for end in range(start, len(words) + 1)
            if all(word.first <= number <= word.last for word in words[start:end])
            and all(word.last > number for word in words[end:])
        ]
        if not spans:
            return 0.0
        labels = [encode(" ".join(word.text for word in words[start:end])) for start, end in spans]
        frames = np.repeat(log_probs[None, part.start : part.stop], len(spans), axis=0)
        lengths = np.full(len(spans), part.stop - part.start)
        after: dict[int, float] = {}
        for (start, end), probability in zip(
            spans, propensities(frames, lengths, labels, explore, SPACE).tolist(), strict=True
        ):
            after[end] = after.get(end, 0.0) + reached[start] * probability
        reached = after
    return reached.get(len(words), 0.0)


def _placed(segment: Mapping[str, Any], parts: Sequence[Stretch]) -> list[_Word]:
    overlapping = [
        number
        for number, part in enumerate(parts)
        if part.start * SECONDS_PER_FRAME < segment["end"] and segment["start"] < part.stop * SECONDS_PER_FRAME
    ] or [len(parts) - 1]
    return [_Word(word, overlapping[0], overlapping[-1]) for word in segment["text"].split()]
