"""The limit: ONNX Runtime alone, in batches, on the same cores. No platform on this machine can be faster.

The same model file and the same features, padded and grouped as the platform does it, the batches made beforehand:
only `session.run` is timed.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from app.inference.predictor import stack_inputs
from models.base import Asked, Features, Task

BATCH_SIZES = (1, 8, 16, 32, 64, 128)
ROUNDS = 3
ROUND_SECONDS = 0.5

Batch = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class BatchSpeed:
    """Events a second, the median of the rounds: `at_once` batches at a time, each on so many `threads`."""

    batch_size: int
    threads: int
    at_once: int
    per_second: float


@dataclass(frozen=True)
class RuntimeLimit:
    """The sweep, and for information the same work from payloads to predictions, in one process without a log."""

    sweep: list[BatchSpeed]
    whole: float
    preprocess_ms: float
    decode_ms: float

    @property
    def best(self) -> BatchSpeed:
        """The limit."""
        return max(self.sweep, key=lambda speed: speed.per_second)


def open_session(model: Path, threads: int) -> ort.InferenceSession:
    """ONNX Runtime as it comes, with so many threads; 0 is its default."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def make_batches(task: Task, features: Sequence[Features], size: int) -> list[tuple[Batch, list[Asked]]]:
    """All events in batches of equal padded shapes, at most `size` in each."""
    groups: dict[tuple[Any, ...], list[Features]] = defaultdict(list)
    for one in features:
        shapes = task.padded({name: tensor.shape for name, tensor in task.inputs(one).items()})
        groups[tuple(shapes.items())].append(one)
    parts = (group[start : start + size] for _, group in sorted(groups.items()) for start in range(0, len(group), size))
    return [
        (stack_inputs(task, part), [Asked(f"{task.name}:{number}", one) for number, one in enumerate(part)])
        for part in parts
    ]


def measure_limit(task: Task, model: Path, payloads: Sequence[bytes], cores: int) -> RuntimeLimit:
    """The sweep over batch sizes, and over both ways to use the cores: for one batch together, or for one each."""
    began = time.process_time()
    features = [task.preprocess(payload) for payload in payloads]
    preprocess_ms = (time.process_time() - began) * 1000 / len(payloads)
    grouped = {size: make_batches(task, features, size) for size in BATCH_SIZES}
    made = {size: [batch for batch, _ in group] for size, group in grouped.items()}
    runtimes = {threads: open_session(model, threads) for threads in {cores, 1}}
    ways = [(size, threads) for threads in runtimes for size in BATCH_SIZES]
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for size, threads in ways:  # the first runs of a shape take longer
        _run_pass(runtimes[threads], made[size][:: max(1, len(made[size]) // 8)], 1)
    for _ in range(ROUNDS):  # in turn: what else the machine does falls on all alike
        for size, threads in ways:
            found[size, threads].append(_events_per_second(runtimes[threads], made[size], cores // threads))
    sweep = [
        BatchSpeed(size, threads, cores // threads, statistics.median(speeds))
        for (size, threads), speeds in found.items()
    ]
    size = max(sweep, key=lambda speed: speed.per_second).batch_size
    outputs = [_run_batch(runtimes[1], batch) for batch in made[size]]
    began = time.process_time()
    for one, (_, asked) in zip(outputs, grouped[size], strict=True):
        task.decode(one, asked)
    decode_ms = (time.process_time() - began) * 1000 / len(payloads)
    return RuntimeLimit(sweep, _measure_end_to_end(task, runtimes[1], payloads, size, cores), preprocess_ms, decode_ms)


def _run_batch(runtime: ort.InferenceSession, batch: Batch) -> Batch:
    names = [tensor.name for tensor in runtime.get_outputs()]
    return dict(zip(names, runtime.run(names, batch), strict=True))


def _run_pass(runtime: ort.InferenceSession, some: Sequence[Batch], at_once: int) -> None:
    if at_once == 1:
        for batch in some:
            runtime.run(None, batch)
        return
    with ThreadPoolExecutor(at_once) as pool:  # `run` lets go of the GIL
        list(pool.map(lambda batch: runtime.run(None, batch), some))


def _events_per_second(runtime: ort.InferenceSession, some: Sequence[Batch], at_once: int) -> float:
    """Whole passes over all events, so that the shapes are always those of the payloads."""
    each = sum(len(next(iter(batch.values()))) for batch in some)
    events, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < ROUND_SECONDS:
        _run_pass(runtime, some, at_once)
        events += each
    return events / seconds


def _measure_end_to_end(
    task: Task, runtime: ort.InferenceSession, payloads: Sequence[bytes], size: int, cores: int
) -> float:
    """Events a second from payload to prediction: a Python thread for each core, with a part of them at a time."""
    parts = [payloads[start : start + 4 * size] for start in range(0, len(payloads), 4 * size)]

    def work(part: Sequence[bytes]) -> None:
        for batch, asked in make_batches(task, [task.preprocess(payload) for payload in part], size):
            task.decode(_run_batch(runtime, batch), asked)

    speeds = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            list(pool.map(work, parts))
            speeds.append(len(payloads) / (time.perf_counter() - began))
    return statistics.median(speeds)
