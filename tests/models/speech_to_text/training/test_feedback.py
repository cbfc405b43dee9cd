"""What the log's rows teach: chunks of recordings with their texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import tensors
from models.audio.files import RATE
from models.base import Untrainable
from models.datasets import Row
from models.speech_to_text.training.feedback import LeftOut, corrected_chunks, read_log, sure_chunks
from tests.support.datasets import write_dataset

SEGMENTS = [
    {"start": 1.0, "end": 2.0, "text": "first", "confidence": 0.9},
    {"start": 4.0, "end": 5.0, "text": "second", "confidence": 0.3},
]


def row(segments: list[dict[str, Any]], seconds: int = 6, **more: Any) -> Row:
    codes = np.arange(seconds * RATE).astype(np.uint8) % 254 + 1
    output = {"text": " ".join(one["text"] for one in segments), "segments": segments}
    return Row({"samples": codes}, "train", output, 1.0, None, None, "", "1", **more)


def test_a_text_is_that_of_all_that_was_found() -> None:
    [chunk] = corrected_chunks(row(SEGMENTS), {"text": "first  third"})
    assert (len(chunk.samples), chunk.text) == (4 * RATE, "first third")


def test_a_recording_in_which_nothing_was_found_is_one_chunk() -> None:
    [chunk] = corrected_chunks(row([]), {"text": "missed"})
    assert len(chunk.samples) == 6 * RATE


def test_segments_say_what_was_said_when() -> None:
    corrected = [{"start": 0.5, "end": 1.0, "text": "one"}, {"start": 2.0, "end": 4.0, "text": ""}]
    [chunk] = corrected_chunks(row(SEGMENTS), {"text": "one", "segments": corrected})
    np.testing.assert_array_equal(chunk.samples, row([]).features["samples"][RATE // 2 : RATE])


def test_a_text_of_more_than_a_chunk_is_left_out() -> None:
    far = [*SEGMENTS, {"start": 29.0, "end": 30.0, "text": "third", "confidence": 0.9}]
    with pytest.raises(LeftOut, match="longer than 20 s"):
        corrected_chunks(row(far, 31), {"text": "first second third"})


def test_segments_of_which_the_network_is_sure_are_rehearsed() -> None:
    assert [chunk.text for chunk in sure_chunks(row(SEGMENTS), 0.8)] == ["first"]


def values(number: int, **more: Any) -> dict[str, Any]:
    one = row(SEGMENTS)
    features, declaration = tensors.encode(one.features)
    values = {"prediction_id": str(number), "features": features, "tensors": declaration, "split": "train"}
    return {**values, "output": json.dumps(one.output), "propensity": 1.0, **more}


def test_a_right_transcript_is_as_good_as_a_correction_and_other_rewards_are_left_out(tmp_path: Path) -> None:
    label = json.dumps({"text": "corrected"})
    log = read_log(
        write_dataset(
            tmp_path,
            [
                values(1, label=label),
                values(2, reward=1.0),
                values(3, reward=-1.0),
                values(4),
                values(5, label=label, split="validation"),
                values(6, label=label, split="test"),
            ],
        ),
        0.8,
        10,
    )
    assert [chunk.text for chunk in log.train] == ["corrected", "first", "second"]
    assert [chunk.text for chunk in log.validation] == ["corrected"]
    assert [chunk.text for chunk in log.sure] == ["first"]
    reason = "left out: rewards and preferences that don't say what is right"
    assert log.counts == {"train corrections": 1, "train rewards": 1, "validation corrections": 1, reason: 1}


def test_a_log_without_corrections_teaches_nothing(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="collect feedback"):
        read_log(write_dataset(tmp_path, [values(1), values(2, reward=-1.0)]), 0.8, 10)
