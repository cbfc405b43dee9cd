"""From parameters to a version: temperature, ONNX, agreement with JAX, figures on the held-out set."""

from collections.abc import Sequence
from typing import NamedTuple

import onnx

from models.nn.conv_ctc import Parameters
from models.nn.conv_ctc_onnx import to_onnx
from models.ocr.data.generation import HELD_OUT_SEED, Line, make_lines
from models.ocr.symbols import SYMBOLS
from models.ocr.task import Ocr
from models.ocr.training import evaluation
from models.ocr.training.network import NETWORK, SIGNAL

PARITY_TOLERANCE = 1e-3


class Finished(NamedTuple):
    """The model of some parameters, and its figures by name."""

    model: onnx.ModelProto
    figures: dict[str, float]


class HeldOut(NamedTuple):
    """Lines of digits and printed lines that no training saw."""

    digits: list[Line]
    printed: list[Line]


def held_out(lines: int) -> HeldOut:
    """The first lines of each kind."""
    return HeldOut(*(make_lines(kind, "test", lines, HELD_OUT_SEED) for kind in ("digits", "printed")))


def finish(task: Ocr, parameters: Parameters, validation: Sequence[Line], test: HeldOut) -> Finished:
    """The model, as sure of itself as validation lines bear out. Raises `RuntimeError` where ONNX and JAX differ."""
    plain = evaluation.session(to_onnx(NETWORK, parameters, SIGNAL))
    temperature = evaluation.fitted_temperature(task, plain, validation)
    model = to_onnx(NETWORK, parameters, SIGNAL, temperature, {"task": task.name, "symbols": SYMBOLS})
    served = evaluation.session(model)
    difference = evaluation.parity(NETWORK, parameters, temperature, served, [*test.digits[:32], *test.printed[:32]])
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    read = evaluation.readings(task, evaluation.run(task, plain, validation))
    figures = {
        **evaluation.figures(task, served, test.digits, test.printed),
        "cer_validation": evaluation.error_rate(read, validation),
        "temperature": temperature,
    }
    rounded = {name: round(value, 5) for name, value in figures.items()}
    return Finished(model, {**rounded, "parity_max_abs_diff": float(f"{difference:.3g}")})
