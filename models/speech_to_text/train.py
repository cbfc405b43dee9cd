"""`python -m models.speech_to_text.train`: data by seed, fitting, temperature, ONNX, parity, figures and the card."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.base import OnStep, Trained, Untrainable
from models.nn.conv_ctc import Parameters, parameter_count
from models.nn.conv_ctc_onnx import from_onnx, to_onnx
from models.nn.ctc_fitting import Plan, fit
from models.nn.serving import judge, session
from models.speech_to_text import report
from models.speech_to_text.corrected import Corrections, corrections
from models.speech_to_text.data import Utterance, make_utterances
from models.speech_to_text.network import FINE_PLAN, NETWORK, PLAN, SIGNAL, example
from models.speech_to_text.symbols import SYMBOLS
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.vocabulary import VOCABULARY
from models.speech_to_text.voices import ACCENTS, UNHEARD_ACCENTS, VARIANTS, Split

PARITY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Sizes:
    """How many recordings are made."""

    train: int
    validation: int


WHOLE = Sizes(train=21_000, validation=1_200)
FINE = Sizes(train=3_000, validation=600)
"""Of a training that starts from a parent: enough that what it could do is not forgotten."""


def train(
    dataset: Path | None,
    parent: Path | None,
    seed: int,
    on_step: OnStep,
    sizes: Sizes | None = None,
    plan: Plan | None = None,
) -> Trained:
    """A model and its card. Raises `Untrainable`; `RuntimeError` if ONNX Runtime doesn't agree with JAX."""
    sizes, plan = sizes or (FINE if parent else WHOLE), replace(plan or (FINE_PLAN if parent else PLAN), seed=seed)
    corrected = corrections(dataset, plan) if dataset else Corrections()
    first = _parameters(parent) if parent else NETWORK.initial(seed)
    started = time.perf_counter()

    def made(split: Split, count: int) -> list[Utterance]:
        return make_utterances(split, count, seed, lambda done: on_step(f"making {split} data", done, count))

    utterances = made("train", sizes.train)
    validation = [*made("validation", sizes.validation), *corrected.validation]
    ready, cpu_before = time.perf_counter(), time.process_time()
    examples = [example(one) for one in [*utterances, *corrected.repeated(sizes.train)]]
    fitted = fit(NETWORK, first, examples, plan, lambda step, steps, _: on_step("fitting", step, steps))
    fitting_seconds, cpu_seconds = time.perf_counter() - ready, time.process_time() - cpu_before

    on_step("measuring", 0, None)
    plain = report.outputs(session(_onnx(fitted.parameters, 1.0)), validation)
    temperature = report.fitted_temperature(plain, validation)
    model = _onnx(fitted.parameters, temperature)
    served, task = session(model), SpeechToText()
    difference = report.difference(served, fitted.parameters, temperature, validation[:32])
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    figures = {
        **task.figures(judge(served, task, list(task.held_out()))),
        "wer_validation": report.error_rate(report.heard(plain), validation),
        "temperature": temperature,
        "last_loss": float(np.mean(fitted.losses[-50:])),
    }
    card = {
        "task": task.name,
        "model name": "ConvCtc",
        "preprocess_version": task.preprocess_version,
        "inputs": {"mels": ["uint8", ["batch", NETWORK.height, "columns"]], "width": ["int32", ["batch"]]},
        "outputs": {
            "log_probs": ["float32", ["batch", "frames", NETWORK.classes]],
            "length": ["int32", ["batch"]],
        },
        "symbols": SYMBOLS,
        "model bytes": len(model),
        "seed": seed,
        "data": {**_DATA, "recordings": asdict(sizes), "corrections": corrected.counts()},
        "parameters": parameter_count(fitted.parameters),
        "network": asdict(NETWORK),
        "plan": asdict(plan),
        "data seconds": round(ready - started, 1),
        "training seconds": round(fitting_seconds, 1),
        "training CPU seconds": round(cpu_seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "figures": {
            **{name: round(value, 5) for name, value in figures.items()},
            "parity_max_abs_diff": float(f"{difference:.3g}"),
        },
    }
    return Trained(model, card)


_DATA: dict[str, Any] = {
    "speech": "made by espeak-ng 1.51 (GPL-3.0; what it says is free), phrases of models/speech_to_text/vocabulary.py",
    "words": list(VOCABULARY),
    "accents": {"all splits": list(ACCENTS), "test": list(UNHEARD_ACCENTS)},
    "variants": {split: list(names) for split, names in VARIANTS.items()},
    "rooms": "tempo, echo, band, noise and level by chance (models/speech_to_text/room.py)",
}


def _parameters(parent: Path) -> Parameters:
    """Raises `Untrainable` for a model of another network."""
    try:
        parameters, _ = from_onnx(onnx.load(parent))
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{parent} can't be read as a model of this network: {error}") from error
    shapes = [[array.shape for array in pair] for pair in parameters]
    if shapes != [[array.shape for array in pair] for pair in NETWORK.initial(0)]:
        raise Untrainable(f"{parent} holds a network of another shape: train from scratch, without a parent")
    return parameters


def _onnx(parameters: Parameters, temperature: float) -> bytes:
    metadata = {"task": SpeechToText.name, "symbols": SYMBOLS}
    return bytes(to_onnx(NETWORK, parameters, SIGNAL, temperature, metadata).SerializeToString())


def write(trained: Trained, out: Path, command: str) -> None:
    """`model.onnx` and `card.json` in the folder `out`, whose name is the version."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(trained.model)
    card = {"version": out.name, "created by command": command, **trained.card}
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")],
    seed: Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")] = 0,
) -> None:
    """Trains the speech_to_text network on made recordings and measures it on voices it has never heard.

    Example: python -m models.speech_to_text.train --seed 0 --out models/speech_to_text/versions/1
    """
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("starting", total=None)

        def on_step(what: str, done: int, total: int | None) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        try:
            trained = train(None, None, seed, on_step)
        except Untrainable as error:
            raise typer.BadParameter(str(error)) from error
    write(trained, out, f"python -m models.speech_to_text.train --seed {seed} --out {out}")
    console.print_json(data=trained.card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
