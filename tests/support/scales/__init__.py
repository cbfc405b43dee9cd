"""A task that learns within a second: of two scales the second is off by a constant, which is all there is to learn."""

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
    """Takes which scale it was, 0 or 1, and what it shows, as text; says what was weighed."""

    name = "scales"
    preprocess_version = "1"
    trainer = "tests.support.scales:train"

    def preprocess(self, payload: bytes) -> Features:
        try:
            which, shown = payload.split()
            return {"reading": np.array([float(shown), int(which)], np.float32)}
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
        return _weigh_samples(0, 0.0)

    def drifted(self, seed: int) -> Iterator[Sample]:
        return _weigh_samples(1, 5.0)


def train(task: Task, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    off = [
        row.label["weight"] - float(row.features["reading"][0])
        for row in (rows(dataset) if dataset else ())
        if row.split == "train" and row.label is not None and row.features["reading"][1]
    ]
    if not off:
        raise Untrainable("there are no labels to learn from")
    # The newest count: a scale that was put right needs no memory of how it was.
    offset = float(np.median(off[-50:]))
    on_step("weighing", len(off), len(off))
    return Trained(make_scale_model(offset), {"figures": {"off": offset}})


def _weigh_samples(which: int, second_scale_error: float) -> Iterator[Sample]:
    """What a scale shows that is so much off, and what it really weighed."""
    for number in count():
        shown = float(number % 50)
        yield Sample(
            f"sale-{number}", f"{which} {shown}".encode(), "text/plain", {"weight": shown + second_scale_error}
        )


def make_scale_model(second_scale_error: float) -> bytes:
    """The model of scales of which the second shows so much too little."""
    graph = Graph("scale")
    reading = graph.input("reading", np.float32, ["batch", 2])
    graph.output(
        "weight",
        graph.add("MatMul", reading, graph.constant(np.array([[1.0], [second_scale_error]], np.float32), "off")),
        np.float32,
        ["batch", 1],
    )
    return bytes(graph.model({}).SerializeToString())
