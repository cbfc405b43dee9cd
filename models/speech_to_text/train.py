"""`python -m models.speech_to_text.train`: a version from scratch, or from a parent and a dataset of the log."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.base import OnStep, Trained, Untrainable
from models.speech_to_text.symbols import SYMBOLS
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training.fine_tuning import fine_tuned
from models.speech_to_text.training.from_scratch import train_from_scratch
from models.speech_to_text.training.network import NETWORK
from models.training import check_start
from models.training_command import shown, write


def train(task: SpeechToText, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """See `models.training.Trainer`. Raises `Untrainable`."""
    check_start(task.name, dataset, parent)
    plain = type(task)()  # explores nothing: figures are of what the model itself hears
    if dataset is not None and parent is not None:
        model, card = fine_tuned(plain, dataset, parent, seed, on_step)
    else:
        model, card = train_from_scratch(plain, seed, on_step)
    content = bytes(model.SerializeToString())
    head = {
        "task": task.name,
        "model name": "ConvCtc",
        "preprocess_version": task.preprocess_version,
        "inputs": {"mels": ["uint8", ["batch", NETWORK.height, "columns"]], "width": ["int32", ["batch"]]},
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
    dataset: Annotated[Path | None, typer.Option(help="A directory that `hindsight replay` wrote.")] = None,
    parent: Annotated[Path | None, typer.Option(help="The model.onnx to start from, with --dataset.")] = None,
) -> None:
    """Trains the speech_to_text network on made recordings, or goes on with a parent's on the log's.

    It is measured on voices that it has never heard.

    Example: python -m models.speech_to_text.train --seed 0 --out models/speech_to_text/versions/1

    Example: python -m models.speech_to_text.train --dataset DIR --parent 1/model.onnx --out 2
    """
    console = Console(stderr=True)
    with shown(console, "starting") as on_step:
        try:
            trained = train(SpeechToText(), dataset, parent, seed, on_step)
        except Untrainable as error:
            raise typer.BadParameter(str(error)) from error
    extra = "".join(f" --{name} {value}" for name, value in (("dataset", dataset), ("parent", parent)) if value)
    write(trained, out, f"python -m models.speech_to_text.train --seed {seed}{extra} --out {out}")
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
