"""A task that trains within a second: of two scales the second has a constant error, which is all there is to learn."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, Features, OnStep, Rejected, Sample, Task, Trained, Untrainable
from models.datasets import rows
from models.nn.onnx_graph import Graph


class Scales(Task):
    """Read the number of a scale, 0 or 1, and its reading, as text; predict the true weight."""

    name = "scales"
    preprocess_version = "1"
    trainer = "tests.support.scales:train"

    def preprocess(self, payload: bytes) -> Features:
        try:
            scale, reading = payload.split()
            return {"reading": np.array([float(reading), int(scale)], np.float32)}
        except ValueError as error:
            raise Rejected("no_reading", "a scale and a number are needed, such as 0 12.5") from error

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [Decoded({"weight": round(float(value), 3)}, 1.0) for [value] in outputs["weight"]]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return {"weight": float(correction["weight"])}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return max(0.0, 1 - abs(float(output["weight"]) - float(correction["weight"])) / 10)

    def samples(self) -> Sequence[Sample]:
        return [Sample("two", b"0 2.0", "text/plain", {"weight": 2.0})]

    def demonstration(self, seed: int) -> Iterator[Sample]:
        return weigh_samples(0, 0.0)

    def drifted(self, seed: int) -> Iterator[Sample]:
        return weigh_samples(1, 5.0)


def train(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    errors = [
        row.label["weight"] - float(row.features["reading"][0])
        for row in (rows(dataset) if dataset else ())
        if row.split == "train" and row.label is not None and row.features["reading"][1]
    ]
    if not errors:
        raise Untrainable("there are no labels to learn from")
    # Only the newest rows count, so that a scale that is repaired is learned at once.
    offset = float(np.median(errors[-50:]))
    on_step("weighing", len(errors), len(errors))
    return Trained(make_scale_model(offset), {"figures": {"off": offset}})


def weigh_samples(scale: int, error: float) -> Iterator[Sample]:
    """Yield the readings of a scale with an error, and the true weights. No two are equal, or they were one entity."""
    for number in count():
        reading = number % 50 + number / 65_536
        correction = {"weight": round(reading + error, 3)}
        yield Sample(f"sale-{number}", f"{scale} {reading}".encode(), "text/plain", correction)


def make_scale_model(second_scale_error: float) -> bytes:
    """Return the model of two scales of which the second shows `second_scale_error` too little."""
    graph = Graph("scale")
    reading = graph.input("reading", np.float32, ["batch", 2])
    graph.output(
        "weight",
        graph.add("MatMul", reading, graph.constant(np.array([[1.0], [second_scale_error]], np.float32), "off")),
        np.float32,
        ["batch", 1],
    )
    return bytes(graph.model({}).SerializeToString())
