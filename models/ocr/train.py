"""`python -m models.ocr.train`: a version from scratch, or from a parent and a dataset of the log."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.base import OnStep, Trained, Untrainable
from models.ocr.symbols import SYMBOLS
from models.ocr.task import Ocr
from models.ocr.training.fine_tuning import fine_tuned
from models.ocr.training.from_scratch import Sizes, train_from_scratch
from models.ocr.training.network import NETWORK
from models.training import check_start
from models.training_command import shown, write


def train(
    task: Ocr, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep, sizes: Sizes | None = None
) -> Trained:
    """See `models.training.Trainer`; `sizes` are those of a training from scratch. Raises `Untrainable`."""
    check_start(task.name, dataset, parent)
    plain = type(task)()  # explores nothing: figures are of what the model itself reads
    if dataset is not None and parent is not None:
        model, card = fine_tuned(plain, dataset, parent, seed, on_step)
    else:
        on_step("making lines", 0, None)
        fitting = lambda step, steps, _: on_step("fitting", step, steps)  # noqa: E731
        model, card = train_from_scratch(plain, seed, sizes or Sizes(), on_step=fitting)
    content = bytes(model.SerializeToString())
    head = {
        "task": task.name,
        "model name": "ConvCtc",
        "preprocess_version": task.preprocess_version,
        "inputs": {"image": ["uint8", ["batch", NETWORK.height, "columns"]], "width": ["int32", ["batch"]]},
        "outputs": {
            "log_probs": ["float32", ["batch", "frames", NETWORK.classes]],
            "length": ["int32", ["batch"]],
        },
        "symbols": SYMBOLS,
        "model bytes": len(content),
    }
    return Trained(content, {**head, **card})


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")],
    seed: Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")] = 0,
    size: Annotated[float, typer.Option(help="Share of the usual amount of made lines: 0.1 for a quick look.")] = 1.0,
    dataset: Annotated[Path | None, typer.Option(help="A directory that `hindsight replay` wrote.")] = None,
    parent: Annotated[Path | None, typer.Option(help="The model.onnx to start from, with --dataset.")] = None,
) -> None:
    """Trains the ocr network on made lines, or goes on with a parent's on the log's, and measures it on unseen lines.

    Example: python -m models.ocr.train --seed 0 --out models/ocr/versions/1

    Example: python -m models.ocr.train --dataset DIR --parent models/ocr/versions/1/model.onnx --out VERSION
    """
    sizes = Sizes(**{name: max(1, round(count * size)) for name, count in asdict(Sizes()).items()})
    console = Console(stderr=True)
    with shown(console, "starting") as on_step:
        try:
            trained = train(Ocr(), dataset, parent, seed, on_step, sizes)
        except Untrainable as error:
            raise typer.BadParameter(str(error)) from error
    chosen = {"size": f"{size:g}" if size != 1.0 else None, "dataset": dataset, "parent": parent}
    extra = "".join(f" --{name} {value}" for name, value in chosen.items() if value is not None)
    write(trained, out, f"python -m models.ocr.train --seed {seed}{extra} --out {out}")
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
