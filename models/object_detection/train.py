"""`python -m models.object_detection.train`: a version from scratch, or from a parent and a dataset of the log."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.base import OnStep, Trained, Untrainable
from models.object_detection.labels import LABELS
from models.object_detection.task import ObjectDetection
from models.object_detection.training.fine_tuning import FineRecipe, fine_tuned
from models.object_detection.training.from_scratch import Recipe, train_from_scratch
from models.object_detection.training.network import Detector
from models.training import check_start
from models.training_command import shown

NETWORK = Detector()


def train(
    task: ObjectDetection,
    dataset: Path | None,
    parent: Path | None,
    seed: int,
    on_step: OnStep,
    recipe: Recipe | None = None,
    fine: FineRecipe | None = None,
) -> Trained:
    """See `models.training.Trainer`; the recipes are those from scratch, and from a parent. Raises `Untrainable`."""
    check_start(task.name, dataset, parent)
    plain = type(task)()  # explores nothing: figures are of what the model itself finds
    if dataset is not None and parent is not None:
        return Trained(*fine_tuned(plain, NETWORK, dataset, parent, seed, on_step, fine))
    return Trained(*train_from_scratch(plain, NETWORK, seed, on_step, recipe))


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
    with shown(console, "reading") as on_step:
        try:
            trained = train(ObjectDetection(), dataset, parent, seed, on_step)
        except Untrainable as error:
            raise typer.BadParameter(str(error)) from error
    more = "".join(f" --{name} {path}" for name, path in (("dataset", dataset), ("parent", parent)) if path)
    write(trained, out, f"python -m models.object_detection.train --seed {seed}{more} --out {out}")
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
