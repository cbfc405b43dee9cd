"""Rows of a dataset become utterances to train on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import tensors
from models.base import Untrainable
from models.datasets import ROWS
from models.speech_to_text.corrected import MOST_REPEATS, Corrections, corrections
from models.speech_to_text.data import Utterance
from models.speech_to_text.mel import MELS
from models.speech_to_text.network import FINE_PLAN


def row(text: str | None, frames: int = 100, split: str = "train", mels: int = MELS) -> dict[str, Any]:
    data, declaration = tensors.encode(
        {"mels": np.full((mels, frames), 7, np.uint8), "width": np.array(frames, np.int32)}
    )
    label = None if text is None else json.dumps({"text": text})
    return {
        "features": data,
        "tensors": declaration,
        "split": split,
        "output": '{"text": ""}',
        "propensity": 1.0,
        "label": label,
        "reward": None,
    }


def dataset(directory: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), directory / ROWS)
    return directory


def test_labelled_rows_of_training_and_validation_are_taken_and_those_of_the_test_never(tmp_path: Path) -> None:
    path = dataset(tmp_path, row("Yes!"), row(None), row("no", split="validation"), row("stop", split="test"))
    found = corrections(path, FINE_PLAN)
    assert [one.text for one in found.train] == ["yes"]
    assert [one.text for one in found.validation] == ["no"]
    assert found.train[0].mels.shape == (MELS, 100)
    assert found.counts() == {"train": 1, "validation": 1, "left out": {}}


def test_what_can_not_be_learned_from_is_counted_with_its_reason(tmp_path: Path) -> None:
    path = dataset(
        tmp_path,
        row("7 degrees"),
        row("yes", frames=FINE_PLAN.buckets[-1] + 1),
        row("turn on the kitchen light", frames=40),
        row("aaaa", frames=12),
        row("abab", frames=8),
    )
    found = corrections(path, FINE_PLAN)
    assert [one.text for one in found.train] == ["abab"]
    assert found.left_out == {"unknown_symbol": 1, "too_long": 1, "text_too_long": 2}


def test_features_of_another_task_can_not_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="replay it again"):
        corrections(dataset(tmp_path, row("yes", mels=24)), FINE_PLAN)


@pytest.mark.parametrize(("count", "repeats"), [(1, MOST_REPEATS), (250, 6), (3_000, 1)])
def test_few_corrections_are_repeated_and_many_are_not(count: int, repeats: int) -> None:
    found = Corrections([Utterance(np.zeros((MELS, 9), np.uint8), "yes")] * count)
    assert len(found.repeated(3_000)) == repeats * count


def test_no_corrections_are_nothing_to_repeat() -> None:
    assert Corrections().repeated(3_000) == []
