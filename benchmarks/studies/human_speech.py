"""Measure `speech_to_text` on recordings of people that packages ship: `python -m benchmarks.studies.human_speech DIR`.

DIR has a folder for each source, with recordings in any format and a `transcripts.tsv`: file, tab, text. The table has
the word error rate with an interval of 95 % (bootstrap over recordings), and the real-time factor on one thread.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.registry.shipped import shipped_versions
from models.audio.files import RATE
from models.base import Asked
from models.runtimes import Execution, Runtime, open_version
from models.speech_to_text import SpeechToText
from models.speech_to_text.word_errors import edits
from models.speech_to_text.words import spoken

TASK = SpeechToText()
REPETITIONS = 2_000


@dataclass(frozen=True)
class Heard:
    """A recording: its true words, the wrong ones, its length, and the seconds of a core that its words took."""

    words: int
    errors: int
    seconds: float
    cpu_seconds: float


def measure(model: Runtime, recording: Path, text: str) -> Heard:
    """Transcribe a file and compare it with its text."""
    features = TASK.preprocess(recording.read_bytes())
    started = time.process_time()
    outputs = model.run({"samples": features["samples"][None]})
    cpu_seconds = time.process_time() - started
    (decoded,) = TASK.decode(outputs, [Asked(recording.name, features)])
    truth = spoken(text)
    errors = edits(spoken(decoded.output["text"]), truth)
    return Heard(len(truth.split()), errors, len(features["samples"]) / RATE, cpu_seconds)


def word_error_rate(heard: Sequence[Heard]) -> tuple[float, float, float]:
    """Return the word error rate of all recordings, and its interval."""
    errors, words = (np.array([getattr(one, name) for one in heard]) for name in ("errors", "words"))
    drawn = np.random.default_rng(0).integers(len(heard), size=(REPETITIONS, len(heard)))
    rates = errors[drawn].sum(axis=1) / np.maximum(1, words[drawn].sum(axis=1))
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(errors.sum() / words.sum()), float(low), float(high)


def main(directory: Annotated[Path, typer.Argument(exists=True, file_okay=False)]) -> None:
    """Print a table of all sources."""
    model = open_version(shipped_versions(TASK)["1"], Execution(threads=1))
    table = Table("source", "recordings", "words", "WER", "95 %", "real-time factor")
    for source in sorted(path for path in directory.iterdir() if (path / "transcripts.tsv").is_file()):
        with (source / "transcripts.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        heard = [measure(model, source / name, text) for name, text in rows]
        rate, low, high = word_error_rate(heard)
        factor = sum(one.cpu_seconds for one in heard) / sum(one.seconds for one in heard)
        words = sum(one.words for one in heard)
        cells = source.name, len(heard), words, f"{rate:.1%}", f"{low:.1%} to {high:.1%}", f"{factor:.3f}"
        table.add_row(*map(str, cells))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
