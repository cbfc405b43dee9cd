"""From parameters to a version: temperature, ONNX, agreement with JAX, figures on the held-out set."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import onnx

from models.nn.conv_ctc import Parameters
from models.nn.conv_ctc_onnx import to_onnx
from models.nn.onnx_inference import judge, session
from models.speech_to_text.data.generation import Utterance
from models.speech_to_text.symbols import SYMBOLS
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training import evaluation
from models.speech_to_text.training.network import NETWORK, SIGNAL

PARITY_TOLERANCE = 1e-3
_CHECKED = 32


class Finished(NamedTuple):
    """The model of some parameters, and its figures by name."""

    model: onnx.ModelProto
    figures: dict[str, float]


def finish(task: SpeechToText, parameters: Parameters, validation: Sequence[Utterance]) -> Finished:
    """The model, as sure of itself as validation recordings bear out.

    Raises `RuntimeError` where ONNX Runtime and JAX differ.
    """
    plain = evaluation.outputs(task, _session(_model(task, parameters, 1.0)), validation)
    temperature = evaluation.fitted_temperature(task, plain, validation)
    model = _model(task, parameters, temperature)
    difference = evaluation.difference(_session(model), parameters, temperature, validation[:_CHECKED])
    if difference > PARITY_TOLERANCE:
        raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
    more = {
        "wer_validation": round(evaluation.error_rate(evaluation.heard(task, plain), validation), 5),
        "temperature": round(temperature, 5),
        "parity_max_abs_diff": float(f"{difference:.3g}"),
    }
    return Finished(model, {**figures(task, model), **more})


def figures(task: SpeechToText, model: onnx.ModelProto) -> dict[str, float]:
    """The figures of a model as it is, on the shipped held-out set."""
    found = task.figures(judge(_session(model), task, list(task.held_out())))
    return {name: round(value, 5) for name, value in found.items()}


def _model(task: SpeechToText, parameters: Parameters, temperature: float) -> onnx.ModelProto:
    return to_onnx(NETWORK, parameters, SIGNAL, temperature, {"task": task.name, "symbols": SYMBOLS})


def _session(model: onnx.ModelProto) -> Any:
    return session(model.SerializeToString())
