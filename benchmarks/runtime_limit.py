"""The limit: ONNX Runtime alone, in batches, on the same cores. No platform on this machine can be faster.

It runs the same model file on the same features. The batches are made beforehand, so that only `session.run` is timed.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from benchmarks.in_process import Batch, make_batches, open_session, preprocess_all
from models.base import Task

BATCH_SIZES = (1, 8, 16, 32, 64, 128)
ROUNDS = 3
ROUND_SECONDS = 0.5


@dataclass(frozen=True)
class BatchSpeed:
    """Events per second, the median of the rounds, with `at_once` batches at a time, each on `threads` threads."""

    batch_size: int
    threads: int
    at_once: int
    per_second: float


@dataclass(frozen=True)
class RuntimeLimit:
    """The sweep over batch sizes and threads."""

    sweep: list[BatchSpeed]

    @property
    def best(self) -> BatchSpeed:
        """Return the fastest of the sweep: the limit."""
        return max(self.sweep, key=lambda speed: speed.per_second)


def measure_limit(task: Task, model: Path, payloads: Sequence[bytes], cores: int) -> RuntimeLimit:
    """Measure every batch size, with all cores for one batch and with one core for each of several batches."""
    features = preprocess_all(task, payloads)
    batches = {size: [batch.inputs for batch in make_batches(task, features, size)] for size in BATCH_SIZES}
    runtimes = {threads: open_session(model, threads) for threads in {cores, 1}}
    combinations = [(size, threads) for threads in runtimes for size in BATCH_SIZES]
    speeds: dict[tuple[int, int], list[float]] = defaultdict(list)
    for size, threads in combinations:  # the first runs of a shape take longer
        _run_pass(runtimes[threads], batches[size][:: max(1, len(batches[size]) // 8)], 1)
    for _ in range(ROUNDS):  # interleaved, so that a disturbance affects all combinations alike
        for size, threads in combinations:
            speeds[size, threads].append(_events_per_second(runtimes[threads], batches[size], cores // threads))
    return RuntimeLimit(
        [
            BatchSpeed(size, threads, cores // threads, statistics.median(rounds))
            for (size, threads), rounds in speeds.items()
        ]
    )


def _run_pass(runtime: ort.InferenceSession, batches: Sequence[Batch], at_once: int) -> None:
    if at_once == 1:
        for batch in batches:
            runtime.run(None, batch)
        return
    with ThreadPoolExecutor(at_once) as pool:  # `run` releases the GIL
        list(pool.map(lambda batch: runtime.run(None, batch), batches))


def _events_per_second(runtime: ort.InferenceSession, batches: Sequence[Batch], at_once: int) -> float:
    """Measure whole passes over all events, so that the mix of shapes is always that of the payloads."""
    events_per_pass = sum(len(next(iter(batch.values()))) for batch in batches)
    events, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < ROUND_SECONDS:
        _run_pass(runtime, batches, at_once)
        events += events_per_pass
    return events / seconds
