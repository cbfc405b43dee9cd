"""From the log's recordings to chunks with their texts: what corrections say, and what the network was sure of."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.audio.files import RATE
from models.base import Untrainable
from models.datasets import Row, rows, why_nothing
from models.speech_to_text.voice_activity import MAX_CHUNK, WINDOW

LONGEST = MAX_CHUNK * WINDOW
"""Samples: the recogniser hears no longer chunks."""
RIGHT = 1.0
"""The reward of a transcript that is wholly right: it is as good as a correction. Less doesn't say what is wrong."""


class SpokenText(NamedTuple):
    """The samples of a chunk, companded (`models.speech_to_text.mu_law`), and what is said in it."""

    samples: NDArray[np.uint8]
    text: str


class LeftOut(Exception):
    """Why a row can't be learned from."""


@dataclass
class Log:
    """Chunks to fit, to choose by, and to rehearse; and counts of rows by kind and by reason of omission."""

    train: list[SpokenText] = field(default_factory=list)
    validation: list[SpokenText] = field(default_factory=list)
    sure: list[SpokenText] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def read_log(dataset: Path, least_confidence: float, most_sure: int) -> Log:
    """Return what a dataset teaches, without its split `test`. Raises `Untrainable` if that is nothing."""
    log = Log()
    for row in rows(dataset):
        if row.split == "test":
            continue
        try:
            if row.label is not None or row.reward == RIGHT:
                chunks = corrected_chunks(row, row.label or row.output)
                (log.validation if row.split == "validation" else log.train).extend(chunks)
                log.counts[f"{row.split} {'rewards' if row.label is None else 'corrections'}"] += 1
            elif row.reward is not None or row.preferences:
                raise LeftOut("rewards and preferences that don't say what is right")
            elif len(log.sure) < most_sure:
                log.sure.extend(sure_chunks(row, least_confidence))
        except LeftOut as reason:
            log.counts[f"left out: {reason}"] += 1
    if not log.train:
        raise Untrainable(why_nothing(log.counts))
    return log


def corrected_chunks(row: Row, label: Mapping[str, Any]) -> list[SpokenText]:
    """Return the chunks of a recording with their true texts. Raises `LeftOut` if it can't be said which are whose.

    A correction gives segments with their times; or one text, of all that was found, if that is no longer than a chunk.
    """
    samples, found = _samples(row), row.output.get("segments", [])
    if segments := label.get("segments"):
        chunks = [_cut(samples, one["start"], one["end"], one["text"]) for one in segments]
    else:
        start, end = (found[0]["start"], found[-1]["end"]) if found else (0.0, len(samples) / RATE)
        chunks = [_cut(samples, start, end, label["text"])]
    if any(len(chunk.samples) > LONGEST for chunk in chunks):
        raise LeftOut(f"segments longer than {LONGEST / RATE:.0f} s: correct them segment by segment")
    return [chunk for chunk in chunks if chunk.text and len(chunk.samples)]


def sure_chunks(row: Row, least_confidence: float) -> Iterator[SpokenText]:
    """Yield the segments that the network was so sure of, as it heard them."""
    for segment in row.output.get("segments", []):
        if segment["confidence"] >= least_confidence:
            yield _cut(_samples(row), segment["start"], segment["end"], segment["text"])


def _samples(row: Row) -> NDArray[np.uint8]:
    codes = row.features.get("samples")
    if codes is None or codes.ndim != 1:
        raise Untrainable("the dataset's features have no `samples`: they are of another task or preprocess version")
    return codes


def _cut(samples: NDArray[np.uint8], start: float, end: float, text: str) -> SpokenText:
    return SpokenText(samples[round(start * RATE) : round(end * RATE)], " ".join(text.split()))
