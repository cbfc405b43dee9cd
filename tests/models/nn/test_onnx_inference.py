"""Feeding a model as when serving: groups of equal padded shapes, in the samples' order."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import Asked, Decoded, Features, Sample, Shapes, Task
from models.nn.onnx_inference import BATCH, judge, run


class Sums(Task):
    """Sums the bytes of a payload."""

    name = "sums"
    preprocess_version = "1"

    def preprocess(self, payload: bytes) -> Features:
        return {"bytes": np.frombuffer(payload, np.uint8), "hint": np.array(len(payload))}

    def inputs(self, features: Features) -> Features:
        return {"bytes": features["bytes"]}

    def padded(self, shapes: Shapes) -> Shapes:
        return {"bytes": (-(-shapes["bytes"][0] // 4) * 4,)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [
            Decoded({"sum": int(total), "length": int(one.features["hint"])}, 1.0)
            for total, one in zip(outputs["sum"], asked, strict=True)
        ]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return dict(correction)

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return float(output == correction)

    def samples(self) -> Sequence[Sample]:
        return []


class Model:
    """Stands for a session; notes the shapes that it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="sum")]

    def run(self, names: list[str], feeds: Features) -> list[NDArray[Any]]:
        assert set(feeds) == {"bytes"}
        self.shapes.append(feeds["bytes"].shape)
        return [feeds["bytes"].sum(axis=1, dtype=np.int64)]


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=80))
def test_each_sample_is_judged_by_its_own_outputs_in_order(payloads: list[bytes]) -> None:
    samples = [Sample(str(number), payload, "", {}) for number, payload in enumerate(payloads)]
    found = judge(Model(), Sums(), samples)
    assert [one.sample for one in found] == samples
    assert [one.decoded.output for one in found] == [{"sum": sum(data), "length": len(data)} for data in payloads]


def test_batches_are_of_equal_padded_shapes_and_never_too_large() -> None:
    model, task = Model(), Sums()
    features = [task.preprocess(bytes([1] * (1 + number % 8))) for number in range(3 * BATCH)]
    places = [place for batch, _ in run(model, task, features) for place in batch]
    assert sorted(places) == list(range(3 * BATCH))
    assert {shape[1] for shape in model.shapes} == {4, 8}
    assert max(shape[0] for shape in model.shapes) == BATCH
