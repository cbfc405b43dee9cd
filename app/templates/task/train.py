"""Fitting the model: softmax regression by gradient descent, on the task's own lines and on what the log has labelled.

Nothing in it is random, so the seed makes no difference.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import typer
from numpy.typing import NDArray

from models import training_command
from models.base import OnStep, Task, Trained
from models.datasets import rows
from models.nn.onnx_graph import Graph, stored_arrays
from models.nn.onnx_inference import judge, session
from models.training_command import OutOption

from .lines import LABELS
from .task import NewTask

STEPS, RATE, DECAY = 2_000, 4.0, 1e-3

Floats = NDArray[np.floating[Any]]


def train(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit `weights` float32 (256, labels) and `bias` float32 (labels,), from the parent's or from 0."""
    shares, labels = _examples(task, dataset)
    arrays = stored_arrays(onnx.load(parent)) if parent else {}
    weights = arrays.get("weights", np.zeros((256, len(LABELS)))).astype(np.float64)
    bias = arrays.get("bias", np.zeros(len(LABELS))).astype(np.float64)
    truth = np.eye(len(LABELS))[labels]
    for step in range(STEPS):
        wrong = (_softmax(shares @ weights + bias) - truth) / len(labels)
        weights -= RATE * (shares.T @ wrong + DECAY * weights)
        bias -= RATE * wrong.sum(axis=0)
        on_step("fitting", step + 1, STEPS)
    model = _onnx(weights.astype(np.float32), bias.astype(np.float32))
    judged = judge(session(model), task, list(task.held_out()))
    card = {
        "task": task.name,
        "preprocess_version": task.preprocess_version,
        "examples": len(labels),
        "steps": STEPS,
        "rate": RATE,
        "decay": DECAY,
        "figures": task.figures(judged),
    }
    return Trained(model, card)


def _examples(task: Task, dataset: Path | None) -> tuple[Floats, list[int]]:
    """Return features (n, 256) and the numbers of their labels."""
    examples = [(task.preprocess(sample.payload), sample.correction) for sample in task.samples()]
    if dataset is not None:
        examples += [
            (row.features, row.label) for row in rows(dataset) if row.split == "train" and row.label is not None
        ]
    shares = np.array([features["shares"] for features, _ in examples], np.float64)
    return shares, [LABELS.index(label["label"]) for _, label in examples]


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _onnx(weights: Floats, bias: Floats) -> bytes:
    graph = Graph("softmax_regression")
    shares = graph.input("shares", np.float32, ["batch", 256])
    product = graph.add("MatMul", shares, graph.constant(weights, "weights"))
    logits = graph.add("Add", product, graph.constant(bias, "bias"))
    graph.output("probabilities", graph.add("Softmax", logits, axis=1), np.float32, ["batch", len(LABELS)])
    return bytes(graph.model({}).SerializeToString())


def main(out: OutOption) -> None:
    """Train a version on the task's own lines."""
    training_command.run(f"{__package__}.train", lambda on_step: train(NewTask(), None, None, 0, on_step), out, {})


if __name__ == "__main__":
    typer.run(main)
