"""`python -m models.ocr.train`: data by seed, fitting, temperature, ONNX, parity, figures and the card."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.nn.conv_ctc import parameter_count
from models.nn.conv_ctc_onnx import to_onnx
from models.nn.ctc_fitting import Plan, fit
from models.ocr import report
from models.ocr.data import HELD_OUT_LINES, HELD_OUT_SEED, SCAN_SHARES, Line, digit_scans, make_lines
from models.ocr.fonts import FAMILIES
from models.ocr.network import NETWORK, PLAN, SIGNAL, example
from models.ocr.symbols import SYMBOLS
from models.ocr.task import Ocr

PARITY_TOLERANCE = 1e-3
OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Sizes:
    """How many lines of each kind are made."""

    train_digits: int = 15_000
    train_printed: int = 16_000
    validation: int = 1_000
    """Of each kind; so the test's."""
    test: int = HELD_OUT_LINES


def train(
    seed: int, sizes: Sizes, plan: Plan = PLAN, on_step: OnStep = lambda step, steps, loss: None
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model and its card. Raises `RuntimeError` if ONNX Runtime doesn't agree with JAX."""
    plan, started = replace(plan, seed=seed), time.perf_counter()
    lines = make_lines("digits", "train", sizes.train_digits, seed)
    lines += make_lines("printed", "train", sizes.train_printed, seed)
    made, cpu_before = time.perf_counter(), time.process_time()
    fitted = fit(NETWORK, NETWORK.initial(seed), [example(line) for line in lines], plan, on_step)
    fitting_seconds, cpu_seconds = time.perf_counter() - made, time.process_time() - cpu_before

    validation = make_lines("digits", "validation", sizes.validation, seed)
    validation += make_lines("printed", "validation", sizes.validation, seed)
    plain = report.session(to_onnx(NETWORK, fitted.parameters, SIGNAL))
    temperature = report.fitted_temperature(plain, validation)
    model = to_onnx(NETWORK, fitted.parameters, SIGNAL, temperature, {"task": Ocr.name, "symbols": SYMBOLS})

    served = report.session(model)
    digits, printed = (make_lines(kind, "test", sizes.test, HELD_OUT_SEED) for kind in ("digits", "printed"))
    difference = report.parity(NETWORK, fitted.parameters, temperature, served, [*digits[:32], *printed[:32]])
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    card = {
        "seed": seed,
        "data": _data_card(sizes, lines, validation),
        "parameters": parameter_count(fitted.parameters),
        "network": asdict(NETWORK),
        "plan": asdict(plan),
        "data seconds": round(made - started, 1),
        "training seconds": round(fitting_seconds, 1),
        "training CPU seconds": round(cpu_seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "figures": {
            **{name: _rounded(value) for name, value in report.figures(served, digits, printed).items()},
            "cer_validation": _rounded(report.error_rate(report.readings(report.run(plain, validation)), validation)),
            "temperature": _rounded(temperature),
            "parity_max_abs_diff": float(f"{difference:.3g}"),
            "last_loss": _rounded(float(np.mean(fitted.losses[-50:]))),
        },
    }
    return model, card


def _rounded(value: float) -> float:
    return round(value, 5)


def _data_card(sizes: Sizes, lines: list[Line], validation: list[Line]) -> dict[str, Any]:
    return {
        "digit scans": "scikit-learn load_digits: 1,797 scans of 8 x 8, split by scan index",
        "scan shares": {split: list(share) for split, share in SCAN_SHARES.items()},
        "scans": {split: len(digit_scans(split).digits) for split in SCAN_SHARES},
        "fonts": {split: [family.name for family in families] for split, families in FAMILIES.items()},
        "texts": "invented and common words, numbers and codes (models/ocr/words.py); codes without I and O",
        "lines": {"train": len(lines), "validation": len(validation), "test": 2 * sizes.test},
        "licence of data": {
            "load_digits": "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits)",
            **{family.name: family.licence for families in FAMILIES.values() for family in families},
        },
    }


def write(model: onnx.ModelProto, card: dict[str, Any], out: Path, command: str) -> None:
    """`model.onnx` and `card.json` in the folder `out`, whose name is the version."""
    out.mkdir(parents=True, exist_ok=True)
    content = model.SerializeToString()
    (out / "model.onnx").write_bytes(content)
    head = {
        "task": Ocr.name,
        "version": out.name,
        "model name": "ConvCtc",
        "created by command": command,
        "preprocess_version": Ocr.preprocess_version,
        "inputs": {"image": ["uint8", ["batch", NETWORK.height, "columns"]], "width": ["int32", ["batch"]]},
        "outputs": {
            "log_probs": ["float32", ["batch", "frames", NETWORK.classes]],
            "length": ["int32", ["batch"]],
        },
        "symbols": SYMBOLS,
        "model bytes": len(content),
    }
    (out / "card.json").write_text(json.dumps({**head, **card}, indent=2, ensure_ascii=False) + "\n")


def main(
    out: Annotated[Path, typer.Option(help="Folder for model.onnx and card.json; its name is the version.")],
    seed: Annotated[int, typer.Option(help="Makes the data, the first weights and the order of batches.")] = 0,
    size: Annotated[float, typer.Option(help="Share of the usual amount of data: 0.1 for a quick look.")] = 1.0,
) -> None:
    """Trains the ocr network on made lines and measures it on lines it has never seen.

    Example: python -m models.ocr.train --seed 0 --out models/ocr/versions/1
    """
    whole = Sizes()
    sizes = Sizes(**{name: max(1, round(count * size)) for name, count in asdict(whole).items()})
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("making lines", total=None)

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.update(bar, completed=step, total=steps, description=f"fitting, loss {loss:.3f}")

        model, card = train(seed, sizes, on_step=on_step)
    extra = "" if size == 1.0 else f" --size {size:g}"
    write(model, card, out, f"python -m models.ocr.train --seed {seed}{extra} --out {out}")
    console.print_json(data=card["figures"])
    console.print(f"wrote {out / 'model.onnx'} and {out / 'card.json'}")


if __name__ == "__main__":
    typer.run(main)
