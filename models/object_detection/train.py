"""`python -m models.object_detection.train`: scenes by seed, fitting, calibration, ONNX, parity, figures and card."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.base import OnStep, Trained, Untrainable
from models.nn.conv_ctc import Parameters, parameter_count
from models.object_detection import report
from models.object_detection.data import corrected, examples, made, repeated
from models.object_detection.export import Calibration, from_onnx, to_onnx
from models.object_detection.fitting import Plan, fit
from models.object_detection.labels import LABELS
from models.object_detection.network import Detector
from models.object_detection.objects import INSTANCES
from models.object_detection.photographs import PHOTOGRAPHS
from models.object_detection.task import ObjectDetection

PARITY_TOLERANCE = 1e-3
NETWORK = Detector()


@dataclass(frozen=True)
class Recipe:
    """How much is made, and how it is fitted. Corrections are shown at most `most_repeats` times a pass."""

    train: int = 12_000
    validation: int = 500
    plan: Plan = field(default_factory=Plan)
    most_repeats: int = 10


FROM_SCRATCH = Recipe()
FURTHER = Recipe(train=1_500, plan=Plan(epochs=2, rate=1e-3))
"""From a parent: half made scenes, so that it does not forget, half corrections."""


def train(
    dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep, recipe: Recipe | None = None
) -> Trained:
    """A model and its card. Raises `Untrainable`; `RuntimeError` if ONNX Runtime doesn't agree with JAX."""
    recipe = recipe or (FURTHER if parent else FROM_SCRATCH)
    plan, started = replace(recipe.plan, seed=seed), time.perf_counter()
    corrections = corrected(dataset) if dataset else {}
    if dataset and not corrections.get("train"):
        raise Untrainable(f"{dataset} has no corrected or accepted picture in its training split: collect feedback.")
    parameters = _parameters_of(parent) if parent else NETWORK.initial(seed)

    on_step("making scenes", 0, recipe.train + recipe.validation)
    scenes = made("train", recipe.train, seed)
    scenes += repeated(corrections.get("train", []), recipe.train, recipe.most_repeats)
    validation = made("validation", recipe.validation, seed)
    on_step("making scenes", recipe.train + recipe.validation, recipe.train + recipe.validation)

    ready, cpu_before = time.perf_counter(), time.process_time()
    fitted = fit(
        NETWORK,
        parameters,
        examples(scenes),
        plan,
        lambda step, steps, loss: on_step(f"fitting, loss {loss:.3f}", step, steps),
    )
    fitting_seconds, cpu_seconds = time.perf_counter() - ready, time.process_time() - cpu_before

    on_step("measuring", 0, None)
    calibration = report.calibrated(NETWORK, fitted.parameters, validation + corrections.get("validation", []))
    plain = to_onnx(NETWORK, fitted.parameters, Calibration())
    squares = np.stack([features["image"] for features, _ in validation[:32]])
    difference = report.parity(NETWORK, fitted.parameters, plain, squares)
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    task = ObjectDetection()
    metadata = {"task": task.name, "labels": " ".join(LABELS)}
    model = to_onnx(NETWORK, fitted.parameters, calibration, metadata).SerializeToString()
    figures = task.figures(report.judge(model, task.held_out()))
    card = {
        "seed": seed,
        "data": _data_card(recipe, {split: len(rows) for split, rows in corrections.items()}),
        "parameters": parameter_count(fitted.parameters),
        "network": asdict(NETWORK),
        "plan": asdict(plan),
        "calibration": asdict(calibration),
        "data seconds": round(ready - started, 1),
        "training seconds": round(fitting_seconds, 1),
        "training CPU seconds": round(cpu_seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "figures": {
            **{name: round(value, 5) for name, value in figures.items()},
            "parity_max_abs_diff": float(f"{difference:.3g}"),
            "last_loss": round(float(np.mean(fitted.losses[-50:])), 5),
        },
    }
    return Trained(model, card)


def _parameters_of(parent: Path) -> Parameters:
    try:
        parameters = from_onnx(onnx.load(parent))
    except KeyError as error:
        raise Untrainable(f"{parent} holds no detector of this kind: {error} is missing.") from error
    expected = [weights.shape for weights, _ in NETWORK.initial(0)]
    if [weights.shape for weights, _ in parameters] != expected:
        raise Untrainable(f"{parent} is a detector of another shape: train from scratch.")
    return parameters


def _data_card(recipe: Recipe, corrections: dict[str, int]) -> dict[str, Any]:
    return {
        "objects": "drawn by models/object_detection/objects.py, not photographed; no instance is in two splits",
        "instances of each class": {split: len(numbers) for split, numbers in INSTANCES.items()},
        "photographs": {split: [asdict(photograph) for photograph in all_] for split, all_ in PHOTOGRAPHS.items()},
        "photographs are": "made smaller (at most 560 pixels); no photograph is in two splits",
        "scenes": {"train": recipe.train, "validation": recipe.validation},
        "corrections": corrections,
        "right means": "every object found with intersection over union 0.5 or more and its class, and nothing else",
    }


def write(trained: Trained, out: Path, command: str) -> None:
    """`model.onnx` and `card.json` in the folder `out`, whose name is the version."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(trained.model)
    head = {
        "task": ObjectDetection.name,
        "version": out.name,
        "model name": "Detector",
        "created by command": command,
        "preprocess_version": ObjectDetection.preprocess_version,
        "inputs": {"image": ["uint8", ["batch", 128, 128, 3]]},
        "outputs": {
            "scores": ["float32", ["batch", 16, 16, len(LABELS)]],
            "distances": ["float32", ["batch", 16, 16, 4]],
            "certainty": ["float32", ["batch", 3]],
        },
        "labels": LABELS,
        "model bytes": len(trained.model),
    }
    (out / "card.json").write_text(json.dumps({**head, **trained.card}, indent=2, ensure_ascii=False) + "\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")],
    seed: Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")] = 0,
    dataset: Annotated[Path | None, typer.Option(help="A directory that `hindsight replay` wrote.")] = None,
    parent: Annotated[Path | None, typer.Option(help="The model.onnx to start from.")] = None,
) -> None:
    """Trains the detector on made scenes and measures it on photographs and objects it has never seen.

    Example: python -m models.object_detection.train --seed 0 --out models/object_detection/versions/1
    """
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("reading", total=None)

        def on_step(doing: str, done: int, of: int | None) -> None:
            progress.update(bar, completed=done, total=of, description=doing)

        trained = train(dataset, parent, seed, on_step)
    more = "".join(f" --{name} {path}" for name, path in (("dataset", dataset), ("parent", parent)) if path)
    write(trained, out, f"python -m models.object_detection.train --seed {seed}{more} --out {out}")
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
