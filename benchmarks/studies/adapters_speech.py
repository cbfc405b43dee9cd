"""Correct recordings that the pretrained network mishears: `python -m benchmarks.studies.adapters_speech DIR`.

DIR is a folder of telephone prompts that a person speaks, with a `transcripts.tsv` (file, tab, text), as of
`benchmarks.studies.human_speech`; the figures in docs/learning.md are of Debian's asterisk-core-sounds-en-wav. The
source are its short prompts in noise, from which a version learns by N corrections; among the log's rows without
feedback are long prompts without noise. Both versions are measured on other prompts of either kind, and on the task's
held-out recordings.
"""

import csv
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import soundfile
import typer
from numpy.random import Generator
from numpy.typing import NDArray

from app.registry.shipped import shipped_versions
from benchmarks.studies.drifted.dataset import FeedbackKind, serve_samples, write_dataset
from benchmarks.studies.drifted.source import DriftedSource, SourceSamples
from models.audio.files import RATE, read_audio
from models.base import EvaluatedSample, Sample
from models.manifest import write_version
from models.nn.onnx_inference import judge
from models.runtimes import open_version
from models.speech_to_text import SpeechToText
from models.speech_to_text.word_errors import edits
from models.speech_to_text.words import spoken
from models.training import train

MOST_WORDS = 8
"""Of a short prompt."""
PAUSE = 0.3
"""Seconds before and after a prompt."""
REPETITIONS = 2_000
TASK = SpeechToText()
SOURCE = DriftedSource(
    lambda _: TASK, lambda *_: SourceSamples([], []), lambda output, truth: 1.0, lambda _: 0.0, "WER"
)


class Prompts(NamedTuple):
    """Recordings to correct, to serve without feedback, and to measure on: of the source and of the rest."""

    taught: list[Sample]
    served: list[Sample]
    source: list[Sample]
    rest: list[Sample]


def prompts(directory: Path, count: int, served: int, noise: float, seed: int) -> Prompts:
    """Return the prompts of a folder, the same for the same seed; none is in two parts."""
    rng = np.random.default_rng([seed, 23])
    with (directory / "transcripts.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    order = [rows[place] for place in rng.permutation(len(rows)).tolist()]
    kinds: tuple[list[Sample], list[Sample]] = [], []
    for name, text in order:
        short = len(spoken(text).split()) <= MOST_WORDS
        samples = heard(read_audio((directory / name).read_bytes()), noise if short else np.inf, rng)
        kinds[not short].append(Sample(name, wav(samples), "audio/wav", {"text": text}))
    short_ones, long_ones = kinds
    return Prompts(short_ones[:count], long_ones[:served], short_ones[count:], long_ones[served:])


def heard(samples: NDArray[np.float32], signal_to_noise_db: float, rng: Generator) -> NDArray[np.float32]:
    """Return a prompt between pauses, in pink noise."""
    pause = np.zeros(int(PAUSE * RATE), np.float32)
    padded = np.concatenate((pause, samples, pause))
    spectrum = np.fft.rfft(rng.normal(size=len(padded)))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(padded))
    power = np.mean(samples**2) / 10 ** (signal_to_noise_db / 10)
    return np.asarray(padded + pink * np.sqrt(power / np.mean(pink**2)), np.float32)


def wav(samples: NDArray[np.float32]) -> bytes:
    """Return the bytes of a WAV file, at most at full scale."""
    buffer = BytesIO()
    soundfile.write(buffer, samples / max(1.0, float(np.abs(samples).max())), RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def learned(drawn: Prompts, parent: Path, seed: int, directory: Path) -> tuple[Path, dict[str, Any]]:
    """Return the version that learned from the corrections, and its card."""
    log = serve_samples(SOURCE, 0.0, [*drawn.taught, *drawn.served], parent, f"adapters-{seed}")
    kinds = ["correction"] * len(drawn.taught) + ["none"] * len(drawn.served)
    splits = ("train",) * 4 + ("validation",)
    dataset = write_dataset(directory / "log", log, cast(list[FeedbackKind], kinds), splits)
    trained = train(TASK, dataset, parent, seed, lambda *_: None)
    return write_version(directory / "2", trained.model, trained.files, parent), trained.card


def row(kind: str, before: Sequence[EvaluatedSample], after: Sequence[EvaluatedSample]) -> str:
    """Return a row of the table: recordings, words, both error rates and their relative change, with intervals."""
    errors = np.array([[_edits(one) for one in judged] for judged in (before, after)])
    words = np.array([len(spoken(one.sample.correction["text"]).split()) for one in before])
    drawn = np.random.default_rng(0).integers(len(words), size=(REPETITIONS, len(words)))
    rates = errors[:, drawn].sum(axis=-1) / np.maximum(1, words[drawn].sum(axis=-1))
    totals = errors.sum(axis=-1) / words.sum()
    cells = [
        f"{total:.1%} ({low:.1%} to {high:.1%})"
        for total, (low, high) in zip(totals, np.quantile(rates, [0.025, 0.975], axis=-1).T, strict=True)
    ]
    changes = rates[1] / np.maximum(rates[0], 1e-9) - 1
    low, high = np.quantile(changes, [0.025, 0.975])
    change = f"{totals[1] / totals[0] - 1:+.0%} ({low:+.0%} to {high:+.0%})"
    return f"| {kind} | {len(words)} | {words.sum()} | {' | '.join(cells)} | {change} |"


def _edits(judged: EvaluatedSample) -> int:
    return edits(spoken(judged.decoded.output["text"]), spoken(judged.sample.correction["text"]))


def main(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    count: Annotated[int, typer.Option(help="Corrections, of which a fifth are to choose by.")] = 300,
    served: Annotated[int, typer.Option(help="Long prompts in the log without feedback.")] = 60,
    noise: Annotated[float, typer.Option(help="Signal-to-noise ratio of the source in decibels.")] = 10.0,
    seed: int = 0,
) -> None:
    """Print the word error rates before and after."""
    drawn, parent = prompts(directory, count, served, noise, seed), shipped_versions(TASK)["1"]
    with TemporaryDirectory() as temporary:
        started = process_time()
        version, card = learned(drawn, parent, seed, Path(temporary))
        print(f"# {len(drawn.taught)} corrections\n\n{process_time() - started:.0f} CPU seconds, hearing included\n")
        print("| recordings | n | words | WER before | after | change |\n|---|---:|---:|---:|---:|---:|")
        opened = [open_version(one) for one in (parent, version)]
        held_out = list(TASK.held_out())
        for kind, samples in {"source": drawn.source, "rest": drawn.rest, "held out": held_out}.items():
            before, after = (judge(one, TASK, samples) for one in opened)
            print(row(kind, before, after), flush=True)
    print(f"\n{card}")


if __name__ == "__main__":
    typer.run(main)
