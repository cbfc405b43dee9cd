"""Give feedback on a source that the pretrained recogniser is bad at: `python -m benchmarks.studies.adapters SOURCE`.

The shipped version of `ocr` reads N lines of the source, each of which gets feedback: a correction, or a reward. A
version is trained on them, and both are measured on other lines: of the source, and of what shall not be forgotten.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated, Any, cast

import numpy as np
import typer
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.registry.shipped import shipped_versions
from benchmarks.studies.drifted.dataset import FeedbackKind, serve_samples, write_dataset
from benchmarks.studies.drifted.source import DriftedSource, SourceSamples
from models.base import EvaluatedSample, Sample, Trained
from models.manifest import write_version
from models.nn.onnx_inference import judge
from models.ocr import Ocr
from models.ocr.corrections import errors
from models.ocr.metrics import interval, rate
from models.runtimes import open_version
from models.small.ocr.data.drifted import slanted
from models.small.ocr.data.fonts import Split
from models.small.ocr.data.generation import digits_image, printed_image, split_fonts
from models.small.ocr.data.lines import photographed, png
from models.small.ocr.data.printed import printed_line
from models.small.ocr.data.words import text_line
from models.training import train

SPLITS = ("train",) * 4 + ("validation",)
Draw = Callable[[Split, Generator], tuple[Image.Image, str]]


def _words(rng: Generator, slant: tuple[float, float]) -> tuple[Image.Image, str]:
    """Draw one or two words in a font of no training, slanted."""
    fonts = split_fonts("validation")[0]
    text = " ".join(text_line(rng).split()[:2])
    return slanted(printed_line(text, fonts[int(rng.integers(len(fonts)))], rng), rng.uniform(*slant)), text


def _rows(ink: Image.Image, rng: Generator, lost: int) -> Image.Image:
    """Scale a line to 14 to 18 rows of pixels, of which some are lost, and back."""
    height = int(rng.integers(14, 19))
    size = max(1, ink.width * height // ink.height), height
    pixels = np.asarray(ink.resize(size, Image.Resampling.BOX)).copy()
    pixels[rng.choice(height, lost, replace=False)] = 0
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.4))
    return blurred.resize(ink.size, Image.Resampling.BILINEAR)


def _slanted(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    ink, text = _words(rng, (0.35, 0.5))
    return photographed(ink, rng), text


def _fax(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    ink, text = _words(rng, (0.15, 0.3))
    return photographed(_rows(ink, rng, 0), rng), text


def _lost_rows(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    ink, text = _words(rng, (0.15, 0.3))
    return photographed(_rows(ink, rng, int(rng.integers(2, 4))), rng), text


def _codes(split: Split, rng: Generator) -> tuple[Image.Image, str]:
    families = split_fonts("test")
    family = families[int(rng.integers(len(families)))]
    text = "".join(rng.choice(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), int(rng.integers(6, 14))))
    return photographed(printed_line(text, family[int(rng.integers(len(family)))], rng), rng), text


LINES: dict[str, Draw] = {
    "digits": digits_image,
    "lost_rows": _lost_rows,
    "printed": printed_image,
    "slanted": _slanted,
    "fax": _fax,
    "codes": _codes,
}


def draw(kind: str, split: Split, count: int, seed: int) -> list[Sample]:
    """Return files of lines of one kind with their texts, the same for the same seed."""
    rng = np.random.default_rng([seed, list(LINES).index(kind), int(split == "test")])
    drawn = (LINES[kind](split, rng) for _ in range(count))
    return [
        Sample(f"{kind}-{split}-{number}.png", png(image), "image/png", {"text": text}, kind)
        for number, (image, text) in enumerate(drawn)
    ]


def reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return 1 if the whole line is right, else -1."""
    return -1.0 if errors(output, truth)[0] else 1.0


def taught(kind: str, feedback: FeedbackKind, count: int, seed: int, version: Path) -> Trained:
    """Return what training makes of so many lines with feedback; without corrections, some are explored."""
    task = Ocr()
    source = DriftedSource(Ocr, lambda *_: SourceSamples([], []), reward, lambda _: 0.0, "CER")
    explore = 0.0 if feedback == "correction" else 0.3
    served = serve_samples(source, explore, draw(kind, "train", count, seed), version, f"adapters-{seed}")
    with TemporaryDirectory() as directory:
        dataset = write_dataset(Path(directory) / "log", served, [feedback] * count, SPLITS)
        return train(task, dataset, version, seed, lambda *_: None)


@dataclass(frozen=True)
class Change:
    """Edits and true symbols of each line, (lines, 2), by the version before and by the one after."""

    kind: str
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    def row(self) -> str:
        """Return a row of the table: both error rates with their intervals, and the relative change."""
        rates = rate(self.before), rate(self.after)
        cells = [
            f"{value:.2%} ({low:.2%} to {high:.2%})"
            for value, (low, high) in zip(rates, map(interval, (self.before, self.after)), strict=True)
        ]
        change = f"{rates[1] / rates[0] - 1:+.0%}" if rates[0] else "none"
        return f"| {self.kind} | {len(self.before)} | {' | '.join(cells)} | {change} |"


def edits(judged: Sequence[EvaluatedSample]) -> NDArray[np.int64]:
    """Return the edits and the true symbols of each sample."""
    return np.array([errors(one.decoded.output, one.sample.correction) for one in judged])


def main(
    source: Annotated[str, typer.Argument(help=f"What is taught, one of {', '.join(LINES)}.")] = "digits",
    feedback: Annotated[str, typer.Option(help="correction, score (0 to 1), or reward (1 or -1).")] = "correction",
    count: Annotated[int, typer.Option(help="Lines with feedback, of which a fifth are to choose by.")] = 300,
    test: Annotated[int, typer.Option(help="Lines of each kind to measure on.")] = 300,
    seed: int = 0,
) -> None:
    """Print the character error rates before and after."""
    before, started = shipped_versions(Ocr())["1"], process_time()
    trained = taught(source, cast(FeedbackKind, feedback), count, seed, before)
    seconds = process_time() - started
    print(f"# {count} lines of `{source}` with a {feedback} each\n\n{seconds:.0f} CPU seconds, reading included\n")
    print("| lines | n | CER before | after | change |\n|---|---:|---:|---:|---:|")
    with TemporaryDirectory() as directory:
        after = write_version(Path(directory) / "2", trained.model, trained.files, before)
        opened = [open_version(version) for version in (before, after)]
        for kind in (source, *(kind for kind in LINES if kind != source)):
            samples = draw(kind, "test", test, seed)
            print(Change(kind, *(edits(judge(one, Ocr(), samples)) for one in opened)).row(), flush=True)
    print(f"\n{trained.card['tried']}")


if __name__ == "__main__":
    typer.run(main)
