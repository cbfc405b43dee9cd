"""Correct a camera that the pretrained detector is bad at: `python -m benchmarks.studies.adapters_photographs DIR`.

DIR has the pictures of `pictures.json`, which are divided in two halves. The camera shows N parts of one half's
photographs and collages of its cut-outs, each of which gets a correction; others come without feedback, as they are. A
version is trained on them, and measured on the other half: as the camera shows it, and as it is. Then the halves change
places, so that each photograph is measured.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated, Any, cast

import numpy as np
import typer
from numpy.random import Generator

from app.registry.shipped import shipped_versions
from benchmarks.studies.adapters_photographs.cameras import CAMERAS, Camera, plain
from benchmarks.studies.adapters_photographs.figures import NAMES, Judged, figures, intervals, judged
from benchmarks.studies.adapters_photographs.pictures import Pictures, Scene
from benchmarks.studies.drifted.dataset import FeedbackKind, serve_samples, write_dataset
from benchmarks.studies.drifted.source import DriftedSource, SourceSamples
from models.base import Sample, Trained
from models.manifest import write_version
from models.nn.onnx_inference import judge
from models.object_detection import ObjectDetection
from models.runtimes import open_version
from models.training import train

PLAIN = 150
"""Pictures of the log that no camera has spoilt; they have no feedback."""
VALIDATION_SHARE = 0.2
"""Of the groups of corrected pictures."""
DRAWS, COLLAGES = 2, 60
"""How often a photograph is measured, with other noise of the camera; and the collages of each half."""


def sample(name: str, scene: Scene, camera: Camera, rng: Generator) -> Sample:
    """Return what a camera makes of a scene."""
    image = camera(scene.image, rng)
    scale = np.tile(np.array(image.size) / np.array(scene.image.size), 2)
    truth: dict[str, Any] = {
        "boxes": [
            {"box": (np.array(box["box"]) * scale).round(2).tolist(), "label": box["label"]} for box in scene.boxes
        ]
    }
    if scene.unsure_labels or scene.unsure_regions:
        truth["unsure labels"] = list(scene.unsure_labels)
        truth["unsure regions"] = [(np.array(region) * scale).tolist() for region in scene.unsure_regions]
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return Sample(name, buffer.getvalue(), "image/png", truth, scene.group)


def logged(half: Pictures, count: int, camera: Camera, rng: Generator) -> list[Sample]:
    """Return parts of photographs and, one in three, collages, as a camera shows them."""
    scenes = [half.view(rng) if number % 3 else half.collage("train", rng) for number in range(count)]
    return [sample(f"{number}.png", scene, camera, rng) for number, scene in enumerate(scenes)]


def taught(half: Pictures, camera: Camera, count: int, seed: int, version: Path) -> Trained:
    """Return what training makes of so many corrected pictures of a camera, among others without feedback."""
    task, rng = ObjectDetection(), np.random.default_rng([seed, 33])
    corrected, others = logged(half, count, camera, rng), logged(half, PLAIN, plain, rng)
    groups = sorted({one.group for one in corrected})
    chosen = {groups[place] for place in rng.permutation(len(groups))[: round(VALIDATION_SHARE * len(groups))]}
    splits = ["validation" if one.group in chosen else "train" for one in corrected] + ["train"] * len(others)
    source = DriftedSource(ObjectDetection, lambda *_: SourceSamples([], []), lambda *_: 0.0, lambda _: 0.0, "")
    served = serve_samples(source, 0.0, [*corrected, *others], version, f"photographs-{seed}")
    kinds = ["correction"] * len(corrected) + ["none"] * len(others)
    with TemporaryDirectory() as directory:
        dataset = write_dataset(Path(directory) / "log", served, cast(list[FeedbackKind], kinds), splits)
        return train(task, dataset, version, seed, lambda *_: None)


def measured(half: Pictures, camera: Camera, rng: Generator) -> dict[str, list[Sample]]:
    """Return pictures to measure on: photographs and collages, as the camera shows them and as they are."""
    collages = [half.collage("held_out", rng) for _ in range(COLLAGES)]
    photographs = half.whole()
    return {
        "photographs, camera": [sample("", scene, camera, rng) for scene in photographs for _ in range(DRAWS)],
        "collages, camera": [sample("", scene, camera, rng) for scene in collages],
        "photographs": [sample("", scene, plain, rng) for scene in photographs],
        "collages": [sample("", scene, plain, rng) for scene in collages],
    }


def rows(kind: str, before: Sequence[Judged], after: Sequence[Judged], rng: Generator) -> Iterator[str]:
    """Yield a row of the table for each figure."""
    values = zip(figures(before), figures(after), intervals(before, after, rng), strict=True)
    for name, (old, new, (of_old, of_new, of_change)) in zip(NAMES, values, strict=True):
        cells = ((old, of_old), (new, of_new), (new - old, of_change))
        row = " | ".join(f"{value:.3f} ({low:.3f} to {high:.3f})" for value, (low, high) in cells)
        yield f"| {kind} | {len(before)} | {sum(len(one.objects) for one in before)} | {name} | {row} |"


def main(
    folder: Annotated[Path, typer.Argument(help="The folder with the pictures that `pictures.json` lists.")],
    camera: Annotated[str, typer.Option(help=f"One of {', '.join(CAMERAS)}.")] = "night",
    count: Annotated[int, typer.Option(help="Corrected pictures, of which about a fifth are to choose by.")] = 300,
    seed: int = 0,
) -> None:
    """Print mean average precision, recall and precision of what is served, before and after."""
    before, task = shipped_versions(ObjectDetection())["1"], ObjectDetection()
    halves = Pictures.of(folder).halves(seed)
    results: dict[str, tuple[list[Judged], list[Judged]]] = {}
    for learned, other in (halves, halves[::-1]):
        started = process_time()
        trained = taught(learned, CAMERAS[camera], count, seed, before)
        print(f"{process_time() - started:.0f} CPU seconds; {trained.card['tried']}", flush=True)
        with TemporaryDirectory() as directory:
            after = write_version(Path(directory) / "2", trained.model, trained.files, before)
            opened = [open_version(version) for version in (before, after)]
            for kind, samples in measured(other, CAMERAS[camera], np.random.default_rng([seed, 34])).items():
                for collected, version in zip(results.setdefault(kind, ([], [])), opened, strict=True):
                    collected += [judged(one) for one in judge(version, task, samples)]
    print("\n| pictures | n | objects | figure | before | after | change |\n|---|---:|---:|---|---|---|---|")
    for kind, (old, new) in results.items():
        for row in rows(kind, old, new, np.random.default_rng(seed)):
            print(row)


if __name__ == "__main__":
    typer.run(main)
