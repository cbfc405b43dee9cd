"""A task's whole work in one process without a log: preprocessing, ONNX Runtime in batches, and decoding.

It runs the same model file and the task's own code, padded and grouped as on the platform.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import onnxruntime as ort
from numpy.typing import NDArray

from app.inference.predictor import PaddedShapes, events_per_call, padded_shapes, stack_inputs
from models.base import Asked, Features, Task
from models.runtimes import Execution, open_version

ROUNDS = 3
BATCH_SIZE = 32

Batch = dict[str, NDArray[Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class InProcessSpeed:
    """The whole work in one process: events per second, and the CPU time of an event."""

    per_second: float
    cpu_ms: float
    runtime_per_second: float
    """Of ONNX Runtime alone, on batches that were made before."""
    runtime_cpu_ms: float


class EventBatch(NamedTuple):
    """Events of equal padded shapes: their numbers, the model's inputs, and what `Task.decode` needs of them."""

    numbers: list[int]
    inputs: Batch
    asked: list[Asked]


def open_session(model: Path, threads: int) -> ort.InferenceSession:
    """Return ONNX Runtime with its default options and `threads` threads; 0 is its default number."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def make_batches(task: Task, features: Mapping[int, Features], size: int) -> list[EventBatch]:
    """Return all events, by number, in batches of equal padded shapes, at most `size` in each, and as a call holds."""
    groups: dict[PaddedShapes, list[int]] = defaultdict(list)
    for number, event in features.items():
        groups[padded_shapes(task, event)].append(number)
    batches = (
        group[start : start + step]
        for shapes, group in sorted(groups.items())
        for step in (min(size, events_per_call(shapes)),)
        for start in range(0, len(group), step)
    )
    return [
        EventBatch(
            batch,
            stack_inputs(task, [features[number] for number in batch]),
            [Asked(f"{task.name}:{number}", features[number]) for number in batch],
        )
        for batch in batches
    ]


def preprocess_all(task: Task, payloads: Sequence[bytes]) -> dict[int, Features]:
    """Return the features of each payload, by its number."""
    return {number: task.preprocess(payload) for number, payload in enumerate(payloads)}


def run_batch(runtime: ort.InferenceSession, batch: Batch) -> Batch:
    """Return the model's outputs by name."""
    names = [tensor.name for tensor in runtime.get_outputs()]
    return dict(zip(names, runtime.run(names, batch), strict=True))


def measure_in_process(
    task: Task, model: Path, payloads: Sequence[bytes], cores: int, batch_size: int = BATCH_SIZE, rounds: int = ROUNDS
) -> InProcessSpeed:
    """Measure from payload to prediction, with a Python thread for each core; the first round warms up."""
    runtime = open_version(model, Execution(threads=1))
    chunks = [payloads[start : start + 4 * batch_size] for start in range(0, len(payloads), 4 * batch_size)]

    def predict(chunk: Sequence[bytes]) -> None:
        for batch in make_batches(task, preprocess_all(task, chunk), batch_size):
            task.decode(runtime.run(batch.inputs), batch.asked)

    seconds, cpu_seconds = _measure_rounds(predict, chunks, cores, rounds)
    batches = [batch.inputs for batch in make_batches(task, preprocess_all(task, payloads), batch_size)]
    runtime_seconds, runtime_cpu_seconds = _measure_rounds(runtime.run, batches, cores, rounds)
    count = len(payloads)
    return InProcessSpeed(
        per_second=count / seconds,
        cpu_ms=cpu_seconds * 1000 / count,
        runtime_per_second=count / runtime_seconds,
        runtime_cpu_ms=runtime_cpu_seconds * 1000 / count,
    )


def _measure_rounds(work: Callable[[T], Any], parts: Sequence[T], cores: int, count: int) -> tuple[float, float]:
    """Return the median wall seconds and CPU seconds of `count` rounds over all parts."""
    rounds = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(count + 1):
            started, cpu_started = time.perf_counter(), time.process_time()
            list(pool.map(work, parts))
            rounds.append((time.perf_counter() - started, time.process_time() - cpu_started))
    wall, cpu = zip(*rounds[1:], strict=True)
    return statistics.median(wall), statistics.median(cpu)
