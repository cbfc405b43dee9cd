"""The probability that a recording is served with these words, however it is cut."""

from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import Asked
from models.nn.ctc import best_path
from models.small.speech_to_text.off_policy import words_probability
from models.small.speech_to_text.segments import PAUSE_FRAMES
from models.small.speech_to_text.symbols import BLANK, CLASSES, encode
from models.small.speech_to_text.task import SpeechToText

A, B = encode("a")[0], encode("b")[0]
SPEECH = 3


def recording(seed: int) -> NDArray[np.float32]:
    """Two stretches of three frames with an a or a b each, and a pause between that is never anything else."""
    rng = np.random.default_rng(seed)
    shares = np.full((2 * SPEECH + PAUSE_FRAMES + 4, CLASSES), 1e-12)
    shares[:, BLANK] = 1.0
    for frame in (*range(SPEECH), *range(len(shares) - SPEECH, len(shares))):
        shares[frame] = 1e-12
        shares[frame, [A, B, BLANK]] = rng.dirichlet(np.ones(3))
    shares[[1, -2]] = 1e-12
    shares[[1, -2], A] = 0.6
    shares[[1, -2], B] = 0.4
    return np.asarray(np.log(shares / shares.sum(1, keepdims=True)), np.float32)


@pytest.mark.parametrize("explore", [0.0, 0.3, 1.0])
def test_the_probability_of_the_served_words_is_their_propensity(explore: float) -> None:
    heard, task, count = recording(1), SpeechToText(explore=explore), 200
    outputs = {"log_probs": np.repeat(heard[None], count, axis=0), "length": np.full(count, len(heard))}
    mels = np.zeros((40, 2 * len(heard)), np.uint8)
    for decoded in task.decode(outputs, [Asked(str(number), {"mels": mels}) for number in range(count)]):
        found = words_probability(heard, decoded.output["segments"], explore)
        assert found == pytest.approx(decoded.propensity, rel=1e-5)


def test_words_cut_otherwise_may_be_in_any_stretch_that_overlaps_their_segment() -> None:
    heard = recording(2)
    whole = {"start": 0.0, "end": len(heard) * 0.02, "text": "a b"}
    texts: dict[str, Any] = defaultdict(float)
    for first, second in product(("", "a", "b", "a b"), repeat=2):
        parts = [
            {"start": 0.0, "end": 0.04, "text": first},
            {"start": len(heard) * 0.02 - 0.04, "end": len(heard) * 0.02, "text": second},
        ]
        texts[f"{first} {second}".strip()] += words_probability(heard, parts, 1.0)
    assert len(best_path(heard[None], np.array([len(heard)]))) == 1
    assert words_probability(heard, [whole], 1.0) == pytest.approx(texts["a b"], rel=1e-6)


def test_words_that_no_stretch_can_give_have_no_probability() -> None:
    segment = {"start": 0.0, "end": 0.04, "text": " ".join(["a"] * 50)}
    assert words_probability(recording(3), [segment], 1.0) == 0.0
