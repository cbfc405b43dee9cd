"""Training from scratch: made lines by seed, fitting, and the card."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx

from models.nn.conv_ctc import parameter_count
from models.nn.ctc_fitting import Plan, fit
from models.ocr.data.fonts import FAMILIES
from models.ocr.data.generation import HELD_OUT_LINES, SCAN_SHARES, Line, digit_scans, make_lines
from models.ocr.task import Ocr
from models.ocr.training.finalization import finish, held_out
from models.ocr.training.network import NETWORK, PLAN, example


@dataclass(frozen=True)
class Sizes:
    """How many lines of each kind are made."""

    train_digits: int = 15_000
    train_printed: int = 16_000
    validation: int = 1_000
    """Of each kind; so the test's."""
    test: int = HELD_OUT_LINES


def train_from_scratch(
    task: Ocr, seed: int, sizes: Sizes, plan: Plan = PLAN, on_step: Callable[[int, int, float], None] = lambda *_: None
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
    model, figures = finish(task, fitted.parameters, validation, held_out(sizes.test))
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
        "figures": {**figures, "last_loss": round(float(np.mean(fitted.losses[-50:])), 5)},
    }
    return model, card


def _data_card(sizes: Sizes, lines: list[Line], validation: list[Line]) -> dict[str, Any]:
    return {
        "digit scans": "scikit-learn load_digits: 1,797 scans of 8 x 8, split by scan index",
        "scan shares": {split: list(share) for split, share in SCAN_SHARES.items()},
        "scans": {split: len(digit_scans(split).digits) for split in SCAN_SHARES},
        "fonts": {split: [family.name for family in families] for split, families in FAMILIES.items()},
        "texts": "invented and common words, numbers and codes (models/ocr/data/words.py); codes without I and O",
        "lines": {"train": len(lines), "validation": len(validation), "test": 2 * sizes.test},
        "licence of data": {
            "load_digits": "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits)",
            **{family.name: family.licence for families in FAMILIES.values() for family in families},
        },
    }
