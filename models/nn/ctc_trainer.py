"""Versions of a CTC task: fitted from scratch to synthetic data, or from a parent to the feedback of a dataset.

Either way the parameters become a version in the same steps (`CtcTrainer.finished`): the temperature that makes
confidences true on validation data, the ONNX model, its comparison with JAX, the figures on the held-out set.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import onnx

from models.base import OnStep, Task, Trained, Untrainable
from models.nn import ctc_evaluation as evaluation
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal, from_onnx, to_onnx
from models.nn.convolution import Parameters, parameter_count
from models.nn.ctc import LabelledSignal
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import feedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.nn.ctc_fitting import fit
from models.nn.onnx_inference import padded_inputs, session
from models.nn.training_costs import TrainingCosts
from models.provenance import provenance
from models.training import check_start

PARITY_TOLERANCE = 1e-3
"""The largest difference between log probabilities of JAX and ONNX Runtime that a version may have."""
_COMPARED = 64


class TrainingData(NamedTuple):
    """Labelled signals to fit, and others to choose and calibrate by."""

    train: list[LabelledSignal]
    validation: list[LabelledSignal]


@dataclass(frozen=True)
class CtcTrainer(ABC):
    """How versions of one task are fitted. A task's own trainer gives the data, the symbols and the figures.

    `plan` is of a training from scratch, `fine_plan` of one from a parent.
    """

    task: Task
    network: ConvCtc
    plan: CtcFittingPlan
    fine_plan: CtcFittingPlan
    signal: ClassVar[Signal]
    symbols: ClassVar[str]
    error_name: ClassVar[str]
    """As figures call it, such as `cer`."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's symbols. Raises `KeyError` for a symbol that isn't known."""

    @abstractmethod
    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of such numbers."""

    @abstractmethod
    def error_rate(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Return the error rate of pairs (text, truth), all together."""

    @abstractmethod
    def synthetic(self, seed: int, on_step: OnStep) -> TrainingData:
        """Make the data of a training from scratch, the same for the same seed. Raises `Untrainable`."""

    @abstractmethod
    def data_card(self, data: TrainingData) -> dict[str, Any]:
        """Describe these data for a card."""

    @abstractmethod
    def rehearsal(self, seed: int, on_step: OnStep) -> TrainingData:
        """Return data such as the parent was fitted to, for fine-tuning to rehearse."""

    @abstractmethod
    def figures(self, model: onnx.ModelProto) -> dict[str, float]:
        """Measure a model on the task's held-out set."""

    def train(self, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
        """Fit a version, see `models.training.Trainer`.

        Raises `Untrainable`, and `RuntimeError` where ONNX Runtime and JAX differ.
        """
        check_start(self.task.name, dataset, parent)
        if dataset is not None and parent is not None:
            model, card = self.fine_tuned(dataset, parent, seed, on_step)
        else:
            model, card = self.from_scratch(seed, on_step)
        content = bytes(model.SerializeToString())
        network = self.network
        head = {
            "task": self.task.name,
            "model name": type(network).__name__,
            "preprocess_version": self.task.preprocess_version,
            "inputs": {
                self.signal.name: [np.dtype(self.signal.dtype).name, ["batch", network.height, "columns"]],
                "width": ["int32", ["batch"]],
            },
            "outputs": {
                "log_probs": ["float32", ["batch", "frames", network.classes]],
                "length": ["int32", ["batch"]],
            },
            "symbols": self.symbols,
            "model bytes": len(content),
        }
        return Trained(content, {**head, **card})

    def from_scratch(self, seed: int, on_step: OnStep) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """Return a model that is fitted to synthetic data, and its card."""
        costs, plan = TrainingCosts(), replace(self.plan, seed=seed)
        data = self.synthetic(seed, on_step)
        costs.data_made()
        examples = [self._example(labelled) for labelled in data.train]
        start = self.network.initial(seed)
        fitted = fit(self.network, start, examples, plan, lambda step, steps, _: on_step("fitting", step, steps))
        costs.fitted()
        on_step("measuring", 0, None)
        model, figures = self.finished(fitted.parameters, data.validation)
        card = {
            "seed": seed,
            "data": self.data_card(data),
            "parameters": parameter_count(fitted.parameters),
            "network": asdict(self.network),
            "plan": asdict(plan),
            **costs.card(),
            "figures": {**figures, "last_loss": round(float(np.mean(fitted.losses[-50:])), 5)},
        }
        return model, card

    def fine_tuned(
        self, dataset: Path, parent: Path, seed: int, on_step: OnStep
    ) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """Return a model that is fitted to a dataset's feedback, and its card.

        It is the parent's own model where nothing that was tried is better. Raises `Untrainable`.
        """
        plan, before = replace(self.fine_plan, seed=seed), read_model(parent, self.network)
        origin = provenance(seed, parent, dataset)
        given = feedback(dataset, self.signal.name, self.network, self._widest, self.encode, self.score)
        rehearsal = self.rehearsal(seed, on_step)
        rehearsed = Rehearsal(*([self._example(labelled) for labelled in part] for part in rehearsal))
        fitting = lambda step, steps, _: on_step("fitting", step, steps)  # noqa: E731
        tuned = fine_tune(self.network, served_parameters(before), given, rehearsed, plan, self._space, fitting)
        on_step("measuring", 0, None)
        model, figures = before, (figures_before := self.figures(before))
        if tuned.share:
            corrected = [LabelledSignal(line.signal, self.decode(line.labels)) for line in given.validation.corrected]
            model, figures = self.finished(tuned.parameters, [*rehearsal.validation, *corrected])
        card = {
            **origin,
            "feedback": {**given.counts, "mean reward": round(given.baseline, 5)},
            "rehearsed": {name: len(part) for name, part in rehearsal._asdict().items()},
            "plan": asdict(plan),
            **tuned.card(),
            "figures": figures,
            "figures before": figures_before,
        }
        return model, card

    def finished(
        self, parameters: Parameters, validation: Sequence[LabelledSignal]
    ) -> tuple[onnx.ModelProto, dict[str, float]]:
        """Return the calibrated model of some parameters, and its figures.

        Raises `RuntimeError` where ONNX Runtime and JAX differ.
        """
        plain = session(to_onnx(self.network, parameters, self.signal).SerializeToString())
        batches = evaluation.outputs(plain, self.task, self.signal, validation)
        temperature = evaluation.fitted_temperature(self.task, batches, validation)
        metadata = {"task": self.task.name, "symbols": self.symbols}
        model = to_onnx(self.network, parameters, self.signal, temperature, metadata)
        difference = self._difference(model, parameters, temperature, validation[:: -(-len(validation) // _COMPARED)])
        if difference > PARITY_TOLERANCE:
            raise RuntimeError(f"ONNX Runtime and JAX differ by {difference:g}, more than {PARITY_TOLERANCE:g}")
        pairs = evaluation.texts(evaluation.predictions(self.task, batches), validation)
        figures = {
            **self.figures(model),
            f"{self.error_name}_validation": round(self.error_rate(pairs), 5),
            "temperature": round(temperature, 5),
            "parity_max_abs_diff": float(f"{difference:.3g}"),
        }
        return model, figures

    def _difference(
        self, model: onnx.ModelProto, parameters: Parameters, temperature: float, compared: Sequence[LabelledSignal]
    ) -> float:
        inputs = [evaluation.features(self.signal, labelled) for labelled in compared]
        shape = (self.network.height, max(labelled.signal.shape[1] for labelled in compared))
        batch = padded_inputs(inputs, {self.signal.name: shape, "width": ()})
        served = session(model.SerializeToString())
        return evaluation.parity(self.network, parameters, temperature, served, self.signal, batch)

    def score(self, labels: Sequence[int], true_labels: Sequence[int]) -> float:
        """Return how good labels are, given the true ones, as the task scores outputs, from 0 to 1."""
        output, correction = ({"text": self.decode(text)} for text in (labels, true_labels))
        return self.task.score(output, correction)

    def _example(self, labelled: LabelledSignal) -> Example:
        return Example(labelled.signal, self.encode(labelled.text))

    @property
    def _space(self) -> int:
        return self.symbols.index(" ") + 1

    @property
    def _widest(self) -> int:
        return self.fine_plan.buckets[-1]


def served_parameters(model: onnx.ModelProto) -> Parameters:
    """Return the parameters whose softmax is what the model serves: the temperature is divided into the last layer."""
    parameters, temperature = from_onnx(model)
    weights, bias = parameters[-1]
    return [*parameters[:-1], (weights / temperature, bias / temperature)]


def read_model(path: Path, network: ConvCtc) -> onnx.ModelProto:
    """Read a model of this network. Raises `Untrainable`."""
    try:
        model = onnx.load(path)
        parameters, _ = from_onnx(model)
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{path} can't be read as a model of this network: {error}") from error
    if _shapes(parameters) != _shapes(network.initial(0)):
        raise Untrainable(f"{path} holds a network of another shape: train from scratch")
    return model


def _shapes(parameters: Parameters) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(array.shape for array in pair) for pair in parameters]
