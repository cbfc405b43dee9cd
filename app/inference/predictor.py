"""Turns features into predictions: one function for the live agent and the batch command."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.backoff import backoff
from app.errors import RequestRefused
from app.events.base import ModelRef
from app.events.memory import MemoryAnswer
from app.monitoring import metrics
from app.settings import MiB
from models.base import Asked, Decoded, Features, Rejected, Task
from models.input_statistics import finite

MAX_CALL_BYTES = 8 * MiB
"""The inputs of one call, but for a single event: many large ones miss the call's deadline, and the activations of a
network for them exceed the memory. The agents' micro-batches have the same bound."""
MAX_PARALLEL_CALLS = 2
"""Calls of one micro-batch at a time: one that waits for others would miss its deadline without being looked at."""


PaddedShapes = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, data type and padded shape of each input, without the batch."""


class InferenceBackend(Protocol):
    """A client of models, such as `InferenceClient`."""

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for a batch of named tensors, the batch in the first dimension."""
        ...


@dataclass(frozen=True)
class PredictionResult:
    """A prediction, the duration of its call, how many events shared the call, and the `Task.summary` of its input.

    With a memory of corrections it has the input's digest too, perhaps its near key, and in `memory` what it replaces.
    """

    prediction: Decoded
    inference_ms: float
    batch_size: int
    input_summary: dict[str, float]
    input_digest: str | None = None
    near_key: str | None = None
    memory: MemoryAnswer | None = None


@dataclass(frozen=True)
class Predictor:
    """Predicts batches of one task. An event that MLServer refuses is tried alone, at most `max_attempts` times."""

    task: Task
    client: InferenceBackend
    max_attempts: int

    async def __call__(self, model: ModelRef, batch: Sequence[Asked]) -> list[PredictionResult | Rejected]:
        """Return a prediction or a rejection for each event, in order. Raises Unavailable if waiting may help.

        Events with equal padded shapes share a call of at most `MAX_CALL_BYTES`. The events of a refused call are tried
        one by one, so that a bad event fails alone.
        """
        groups: dict[PaddedShapes, list[int]] = defaultdict(list)
        for index, event in enumerate(batch):
            groups[padded_shapes(self.task, event.features)].append(index)
        results: dict[int, PredictionResult | Rejected] = {}

        limit = asyncio.Semaphore(MAX_PARALLEL_CALLS)

        async def predict(indices: Sequence[int]) -> None:
            async with limit:
                group_results = await self._predict_group(model, [batch[index] for index in indices])
            results.update(zip(indices, group_results, strict=True))

        calls = (call for shapes, indices in groups.items() for call in _calls(shapes, indices))
        await asyncio.gather(*map(predict, calls))
        return [results[index] for index in range(len(batch))]

    async def _predict_group(self, model: ModelRef, group: Sequence[Asked]) -> list[PredictionResult | Rejected]:
        try:
            return list(await self._infer(model, group))
        except (RequestRefused, _DecodingFailed) as error:
            if len(group) > 1:
                return [result for event in group for result in await self._predict_group(model, [event])]
            return [await self._retry_alone(model, group[0], error)]

    async def _retry_alone(self, model: ModelRef, event: Asked, error: Exception) -> PredictionResult | Rejected:
        waits = backoff()
        for _ in range(self.max_attempts - 1):
            await asyncio.sleep(next(waits))
            try:
                return (await self._infer(model, [event]))[0]
            except (RequestRefused, _DecodingFailed) as latest_error:
                error = latest_error
        return Rejected("model_refused", f"refused {self.max_attempts} times, alone: {error}")

    async def _infer(self, model: ModelRef, group: Sequence[Asked]) -> list[PredictionResult]:
        started = time.perf_counter()
        outputs = await self.client.infer(model, stack_inputs(self.task, [event.features for event in group]))
        elapsed = (time.perf_counter() - started) * 1000
        metrics.BATCH_SIZE.labels(model.name, model.version).observe(len(group))
        try:
            decoded = self.task.decode(outputs, group)
            if len(decoded) != len(group):
                raise ValueError(f"{len(decoded)} predictions of {len(group)} events")
        except Exception as error:
            raise _DecodingFailed(f"the outputs can't be decoded: {type(error).__name__}: {error}") from error
        summaries = [finite(self.task.summary(event.features)) for event in group]
        return [
            PredictionResult(prediction, elapsed, len(group), summary)
            for prediction, summary in zip(decoded, summaries, strict=True)
        ]


def padded_shapes(task: Task, features: Features) -> PaddedShapes:
    """Return the padded shapes of an event's inputs: events with the same share calls."""
    inputs = task.inputs(features)
    shapes = task.padded({name: tensor.shape for name, tensor in inputs.items()})
    return tuple((name, inputs[name].dtype.str, shape) for name, shape in shapes.items())


def events_per_call(shapes: PaddedShapes) -> int:
    """Return how many events of such shapes share a call: as many as `MAX_CALL_BYTES` hold, at least one."""
    event_bytes = sum(np.dtype(dtype).itemsize * prod(shape) for _, dtype, shape in shapes)
    return max(1, MAX_CALL_BYTES // max(1, event_bytes))


def _calls(shapes: PaddedShapes, indices: list[int]) -> Iterator[list[int]]:
    """Yield the events of a group, call by call."""
    size = events_per_call(shapes)
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


class _DecodingFailed(Exception):
    """The task can't decode the model's outputs."""


def stack_inputs(task: Task, group: Sequence[Features]) -> dict[str, NDArray[Any]]:
    """Stack the inputs of events with equal padded shapes into a batch, with zeros at the end of each axis."""
    inputs = [task.inputs(features) for features in group]
    batch = {}
    for name, shape in task.padded({name: tensor.shape for name, tensor in inputs[0].items()}).items():
        batch[name] = np.zeros((len(group), *shape), inputs[0][name].dtype)
        for index, tensors in enumerate(inputs):
            batch[name][(index, *map(slice, tensors[name].shape))] = tensors[name]
    return batch
