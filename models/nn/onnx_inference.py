"""Run a model in ONNX Runtime, batched as when serving: for figures, temperatures and parity.

Needs only numpy and ONNX Runtime.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.base import Asked, EvaluatedSample, Features, Sample, Task
from models.runtimes import Runtime

Outputs = dict[str, NDArray[Any]]
BATCH = 32


def session(model: bytes) -> Any:
    """Return the model of an ONNX file in ONNX Runtime."""
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def run(model: Any, task: Task, features: Sequence[Features]) -> Iterator[tuple[list[int], Outputs]]:
    """Yield the outputs for all features, batch by batch, with their places: those of equal padded shapes together.

    `model` is a `Runtime`, or what `session` returned.
    """
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, event_features in enumerate(features):
        shapes = task.padded({name: tensor.shape for name, tensor in task.inputs(event_features).items()})
        groups[tuple(sorted(shapes.items()))].append(place)
    for padded, members in sorted(groups.items()):
        for start in range(0, len(members), BATCH):
            places = members[start : start + BATCH]
            feeds = padded_inputs([task.inputs(features[place]) for place in places], dict(padded))
            yield places, _outputs(model, feeds)


def _outputs(model: Any, feeds: Features) -> Outputs:
    if isinstance(model, Runtime):
        return model.run(feeds)
    names = [output.name for output in model.get_outputs()]
    return dict(zip(names, model.run(names, feeds), strict=True))


def padded_inputs(inputs: Sequence[Features], shapes: dict[str, tuple[int, ...]]) -> Features:
    """Stack inputs: one array for each, padded with zeros at the end of each axis, the batch in the first dimension."""
    feeds = {name: np.zeros((len(inputs), *shape), inputs[0][name].dtype) for name, shape in shapes.items()}
    for row, tensors in enumerate(inputs):
        for name, tensor in tensors.items():
            feeds[name][(row, *map(slice, tensor.shape))] = tensor
    return feeds


def judge(model: Any, task: Task, samples: Sequence[Sample]) -> list[EvaluatedSample]:
    """Predict samples with the model, from payload to prediction, in their order."""
    features = [task.preprocess(sample.payload) for sample in samples]
    evaluated: dict[int, EvaluatedSample] = {}
    for places, outputs in run(model, task, features):
        asked = [Asked(f"{task.name}:{samples[place].name}", features[place]) for place in places]
        for place, decoded in zip(places, task.decode(outputs, asked), strict=True):
            evaluated[place] = EvaluatedSample(samples[place], decoded)
    return [evaluated[place] for place in range(len(samples))]
