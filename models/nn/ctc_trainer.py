"""A parent and what a dataset has to teach it: what fine-tuning a CTC network starts from, and what its card says."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from models.base import Untrainable
from models.datasets import content_hash
from models.nn.conv_ctc import ConvCtc, Parameters
from models.nn.conv_ctc_onnx import from_onnx
from models.nn.ctc_feedback import Feedback, Reading, feedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.nn.ctc_fitting import Plan
from models.nn.weight_interpolation import Tuned


@dataclass(frozen=True)
class Lesson:
    """The parent's model, and the feedback of a dataset with this content hash."""

    network: ConvCtc
    parent: onnx.ModelProto
    digest: str
    """SHA-256 of the parent's file."""
    content_hash: str
    said: Feedback

    @classmethod
    def read(cls, reading: Reading, dataset: Path, parent: Path) -> "Lesson":
        """Raises `Untrainable` for what is no model of the reading's network, or no dataset, or teaches nothing."""
        model, digest = _model(parent, reading.network), hashlib.sha256(parent.read_bytes()).hexdigest()
        return cls(reading.network, model, digest, content_hash(dataset), feedback(dataset, reading))

    def learned(self, rehearsal: Rehearsal, plan: Plan, on_step: Callable[[int, int, float], None]) -> Tuned:
        """Fine-tuned from what the parent serves on."""
        return fine_tune(self.network, served_parameters(self.parent), self.said, rehearsal, plan, on_step)

    def card(self, tuned: Tuned, rehearsal: Rehearsal, plan: Plan) -> dict[str, Any]:
        """Where a version comes from, and how."""
        return {
            "seed": plan.seed,
            "parent": self.digest,
            "dataset": self.content_hash,
            "feedback": {**self.said.counts, "mean reward": round(self.said.baseline, 5)},
            "rehearsed": {"train": len(rehearsal.train), "validation": len(rehearsal.validation)},
            "plan": asdict(plan),
            **tuned.card(),
        }


def served_parameters(model: onnx.ModelProto) -> Parameters:
    """The parameters whose softmax is what the model serves: its temperature is divided into the last layer."""
    parameters, temperature = from_onnx(model)
    weights, bias = parameters[-1]
    return [*parameters[:-1], (weights / temperature, bias / temperature)]


def _model(parent: Path, network: ConvCtc) -> onnx.ModelProto:
    try:
        model = onnx.load(parent)
        parameters, _ = from_onnx(model)
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{parent} can't be read as a model of this network: {error}") from error
    if _shapes(parameters) != _shapes(network.initial(0)):
        raise Untrainable(f"{parent} holds a network of another shape: train from scratch")
    return model


def _shapes(parameters: Parameters) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(array.shape for array in pair) for pair in parameters]
