"""A run of the benchmark: its parts, in their order."""

import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from rich.console import Console

from app.embedded.supervisor import Supervisor
from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks import (
    in_process,
    kafka_log,
    machine,
    peer,
    platform_run,
    replay,
    runtime_limit,
    synthetic_history,
    task_costs,
    throughput,
)
from benchmarks.child_process import run_in_process
from benchmarks.options import BenchmarkOptions
from benchmarks.platform import benchmark_settings, run_platform
from benchmarks.progress import Progress
from benchmarks.results import BenchmarkResults
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads

MAX_PHASE_SECONDS = 50.0
"""No repetition starts after this time."""
SEED = 20_000


class BenchmarkRun:
    """One run of the benchmark."""

    def __init__(self, options: BenchmarkOptions, console: Console) -> None:
        self._options = options
        self._progress = Progress(console)
        self._task = Ocr()
        self._model = shipped_versions(self._task)[shipped_champion(self._task).version]

    async def __call__(self) -> BenchmarkResults:
        """Measure the chosen parts, in a home that is removed at the end."""
        only = self._options.only
        with tempfile.TemporaryDirectory(prefix="hindsight-bench-") as scratch:
            settings = benchmark_settings(Path(scratch) / "home")
            results = BenchmarkResults(machine.describe_machine(settings), "", others=self._progress.other_cores)
            with self._progress.step(f"Making {self._options.payloads} images of lines"):
                samples = await run_in_process(make_payloads, self._options.payloads, SEED)
                payloads = [sample.payload for sample in samples]
            size = sum(map(len, payloads)) / len(payloads)
            results.load = f"{len(payloads)} distinct PNG files of handwritten digits, {size:.0f} bytes on average."
            if {"latency", "saturated", "starts"} & set(only):
                await platform_run.measure_platform(
                    settings, self._task.name, payloads, self._options, self._progress, results
                )
            if "whole" in only:
                with self._progress.measured_step("ONNX Runtime with preprocessing and decoding, in one process"):
                    results.whole = await run_in_process(
                        in_process.measure_in_process, self._task, self._model, payloads, machine.usable_cores()
                    )
            if "alone" in only:
                await self._measure_peer(settings, payloads, results)
            if "limit" in only:
                with self._progress.measured_step("ONNX Runtime alone"):
                    results.limit = await run_in_process(
                        runtime_limit.measure_limit, self._task, self._model, payloads, machine.usable_cores()
                    )
            if "tasks" in only:
                results.tasks = await self._measure_tasks(benchmark_settings(Path(scratch) / "tasks"))
            if "replay" in only:
                results.replay = await self._measure_replay(benchmark_settings(Path(scratch) / "replay"))
        return results

    async def _measure_peer(self, settings: Settings, payloads: list[bytes], results: BenchmarkResults) -> None:
        async with self._run_processes(settings, "kafka"):
            await kafka_log.create_topics(settings, (peer.REQUESTS, peer.ANSWERS), settings.partitions)
            for threads in (0, 1):
                with self._progress.measured_step(f"One at a time, {threads or 'default'} threads"):
                    count = self._options.requests
                    results.alone.append(
                        await run_in_process(
                            peer.measure_peer, settings, self._task, self._model, payloads, count, threads
                        )
                    )

    async def _measure_tasks(self, settings: Settings) -> dict[str, task_costs.TaskCost]:
        """Measure every task but the one of the other parts, with shorter backlogs."""
        tasks = {name: task for name, task in load_tasks(settings).items() if name != self._task.name}
        payloads, backlogs, count = {}, {}, self._options.task_requests
        for name, task in tasks.items():
            with self._progress.step(f"Making payloads of {name}"):
                payloads[name] = await run_in_process(task_costs.make_payloads, task, self._options.task_payloads, SEED)
        with self._progress.step("Starting the platform"):
            platform = run_platform(settings)
            stack = await platform.__aenter__()
        try:
            for name in tasks:
                with self._progress.step(f"{name}: backlogs of {count}"):
                    await throughput.drain_backlog(stack, name, payloads[name], count // 2)  # warms it up
                    backlogs[name] = await throughput.drain_backlog(stack, name, payloads[name], count)
        finally:
            await platform.__aexit__(None, None, None)
        costs = {}
        async with self._run_processes(settings, "kafka"):
            await kafka_log.create_topics(settings, (peer.REQUESTS, peer.ANSWERS), settings.partitions)
            for name, task in tasks.items():
                model = shipped_versions(task)[shipped_champion(task).version]
                with self._progress.measured_step(f"{name}: one at a time, and ONNX Runtime alone"):
                    one_at_a_time = await run_in_process(
                        peer.measure_peer, settings, task, model, payloads[name], count, 1
                    )
                    limit = await run_in_process(
                        runtime_limit.measure_limit, task, model, payloads[name], machine.usable_cores()
                    )
                costs[name] = task_costs.TaskCost(backlogs[name], one_at_a_time, limit)
        return costs

    async def _measure_replay(self, settings: Settings) -> replay.ReplayComparison:
        async with self._run_processes(settings, "kafka"):
            with self._progress.step(f"Writing a log of {self._options.events} events"):
                events = await run_in_process(synthetic_history.publish_history, settings, self._options.events)
        async with self._run_processes(settings, "kafka", "archive"):
            with self._progress.measured_step("Archiving it"):
                per_second = await replay.wait_until_archived(settings)
        runs = defaultdict[str, list[replay.ReaderRun]](list)
        async with self._run_processes(settings, "kafka"):
            started = monotonic()
            for number in range(self._options.repetitions):
                if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                    for name, reader in replay.READERS.items():
                        with self._progress.measured_step(f"Reading the log: {name} {number + 1}"):
                            out = settings.home / f"{name}-{number}"
                            runs[name].append(await run_in_process(reader, settings, out))
        medians = {name: replay.median_run(readings) for name, readings in runs.items()}
        return replay.ReplayComparison(events, per_second, medians)

    @asynccontextmanager
    async def _run_processes(self, settings: Settings, *processes: str) -> AsyncIterator[None]:
        """Run only these processes of the platform."""
        supervisor = Supervisor(settings, only=processes, console=Console(quiet=True))
        try:
            with self._progress.step(f"Starting {' and '.join(processes)} alone"):
                await supervisor.start()
            yield
        finally:
            await supervisor.stop()
