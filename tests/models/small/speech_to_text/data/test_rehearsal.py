"""What is rehearsed when a version is fine-tuned: shipped, and of the voices of its split alone."""

import numpy as np
import pytest

from models.small.speech_to_text.data.generation import TAKES, make_utterances
from models.small.speech_to_text.data.rehearsal import COUNTS, SEED, rehearsal
from models.small.speech_to_text.mel import MELS


def test_the_recordings_of_both_splits_ship() -> None:
    for split, count in COUNTS.items():
        found = rehearsal(split)
        assert len(found) == count
        assert {one.signal.shape[0] for one in found} == {MELS}
        assert all(one.text == one.text.strip() for one in found)


@pytest.mark.needs("espeak-ng")
def test_they_are_what_the_first_training_made() -> None:
    made = make_utterances("validation", 3 * TAKES, SEED)[::TAKES]
    for shipped, one in zip(rehearsal("validation"), made, strict=False):
        assert shipped.text == one.text
        np.testing.assert_array_equal(shipped.signal, one.signal)
