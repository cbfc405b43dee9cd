"""A run of the benchmark: its parts, in their order."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from rich.console import Console

from app.embedded.supervisor import Supervisor
from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks import (
    kafka_log,
    latency,
    load_generator,
    machine,
    peer,
    replay,
    runtime_limit,
    synthetic_history,
    task_costs,
    throughput,
)
from benchmarks.child_process import BenchmarkError, run_in_process
from benchmarks.platform import Stack, benchmark_settings, run_platform
from benchmarks.resource_usage import core_usage, measure_cpu
from benchmarks.results import BenchmarkResults
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads

PARTS = ("latency", "saturated", "alone", "limit", "starts", "replay", "tasks")
REST_SECONDS = 8.0
WARM_UP_RATE, WARM_UP_SECONDS = 200.0, 12.0  # until the JVMs have compiled the hot code
ANSWER_TIMEOUT_SECONDS = 20.0
MAX_PHASE_SECONDS = 50.0
"""No repetition starts after this time."""
SEED = 20_000


@dataclass(frozen=True)
class BenchmarkOptions:
    """The parts to measure, and their lengths."""

    only: tuple[str, ...] = PARTS
    rates: tuple[float, ...] = (50, 200, 500)
    seconds: float = 15.0
    warm_up: float = 4.0
    requests: int = 10_000
    payloads: int = 1_000
    task_requests: int = 2_000
    task_payloads: int = 200
    events: int = 1_000_000
    repetitions: int = 3


class BenchmarkRun:
    """One run of the benchmark."""

    def __init__(self, options: BenchmarkOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._task = Ocr()
        self._model = shipped_versions(self._task)[shipped_champion(self._task).version]
        self._started = monotonic()

    async def __call__(self) -> BenchmarkResults:
        """Measure the chosen parts, in a home that is removed at the end."""
        only = self._options.only
        with tempfile.TemporaryDirectory(prefix="hindsight-bench-") as scratch:
            settings = benchmark_settings(Path(scratch) / "home")
            results = BenchmarkResults(machine.describe_machine(settings), "")
            with self._step(f"Making {self._options.payloads} images of lines"):
                samples = await run_in_process(make_payloads, self._options.payloads, SEED)
                payloads = [sample.payload for sample in samples]
            size = sum(map(len, payloads)) / len(payloads)
            results.load = f"{len(payloads)} distinct PNG files of handwritten digits, {size:.0f} bytes on average."
            if {"latency", "saturated", "starts"} & set(only):
                await self._measure_platform(settings, payloads, results)
            if "alone" in only:
                await self._measure_peer(settings, payloads, results)
            if "limit" in only:
                with self._step("ONNX Runtime alone"), self._record_disturbance("ONNX Runtime alone", results):
                    results.limit = await run_in_process(
                        runtime_limit.measure_limit, self._task, self._model, payloads, machine.usable_cores()
                    )
            if "tasks" in only:
                results.tasks = await self._measure_tasks(benchmark_settings(Path(scratch) / "tasks"), results)
            if "replay" in only:
                results.whole = await self._measure_replay(benchmark_settings(Path(scratch) / "replay"), results)
        return results

    async def _measure_platform(self, settings: Settings, payloads: list[bytes], results: BenchmarkResults) -> None:
        with self._step("Starting the platform"):
            platform = run_platform(settings)
            stack = await platform.__aenter__()
        try:
            results.starts["first start"] = stack.start_seconds
            with self._step("Waiting until it is at rest"):
                await asyncio.sleep(REST_SECONDS)
                results.at_rest = stack.memory()
            with self._step("Warming it up"):
                await self._measure_load(stack, payloads, WARM_UP_RATE, WARM_UP_SECONDS)
            if "latency" in self._options.only:
                for rate in self._options.rates:
                    with self._step(f"{rate:g} requests/s"):
                        results.latency.append(await self._measure_load(stack, payloads, rate, self._options.seconds))
                        await asyncio.sleep(1)
            if "saturated" in self._options.only:
                started = monotonic()
                for number in range(self._options.repetitions):
                    if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                        with self._step(f"A backlog of {self._options.requests}, number {number + 1}"):
                            backlog = await throughput.drain_backlog(
                                stack, self._task.name, payloads, self._options.requests
                            )
                            results.saturated.append(backlog)
            results.after_load = stack.memory()
        finally:
            with self._step("Stopping it"):
                await platform.__aexit__(None, None, None)
        if "starts" in self._options.only:
            with self._step("Starting it again"):
                async with run_platform(settings) as restarted:
                    results.starts["second start"] = restarted.start_seconds

    async def _measure_load(self, stack: Stack, payloads: list[bytes], rate: float, seconds: float) -> latency.Latency:
        plan = load_generator.LoadPlan(
            stack.settings.bootstrap, self._task.name, rate, self._options.warm_up, seconds, ANSWER_TIMEOUT_SECONDS
        )
        before = stack.cpu()
        load = await run_in_process(load_generator.run_load, plan, payloads)
        after = stack.cpu()
        figures = latency.summarize_load(rate, load)
        if figures.failed == figures.requests:
            raise BenchmarkError(f"every request failed: {figures.reason}")
        return replace(
            figures,
            busy=core_usage(before, after),
            generator_cores=load.cpu_seconds / (seconds + self._options.warm_up),
        )

    async def _measure_peer(self, settings: Settings, payloads: list[bytes], results: BenchmarkResults) -> None:
        async with self._run_processes(settings, "kafka"):
            await kafka_log.create_topics(settings, (peer.REQUESTS, peer.ANSWERS), settings.partitions)
            for threads in (0, 1):
                name = f"one at a time, {threads or 'default'} threads"
                with self._step(name.capitalize()), self._record_disturbance(name, results):
                    count = self._options.requests
                    results.alone.append(
                        await run_in_process(
                            peer.measure_peer, settings, self._task, self._model, payloads, count, threads
                        )
                    )

    async def _measure_tasks(self, settings: Settings, results: BenchmarkResults) -> dict[str, task_costs.TaskCost]:
        """Measure every task but the one of the other parts, with shorter backlogs."""
        tasks = {name: task for name, task in load_tasks(settings).items() if name != self._task.name}
        payloads, backlogs, count = {}, {}, self._options.task_requests
        for name, task in tasks.items():
            with self._step(f"Making payloads of {name}"):
                payloads[name] = await run_in_process(task_costs.make_payloads, task, self._options.task_payloads, SEED)
        with self._step("Starting the platform"):
            platform = run_platform(settings)
            stack = await platform.__aenter__()
        try:
            for name in tasks:
                with self._step(f"{name}: backlogs of {count}"):
                    await throughput.drain_backlog(stack, name, payloads[name], count // 2)  # warms it up
                    backlogs[name] = await throughput.drain_backlog(stack, name, payloads[name], count)
        finally:
            await platform.__aexit__(None, None, None)
        costs = {}
        async with self._run_processes(settings, "kafka"):
            await kafka_log.create_topics(settings, (peer.REQUESTS, peer.ANSWERS), settings.partitions)
            for name, task in tasks.items():
                model = shipped_versions(task)[shipped_champion(task).version]
                with (
                    self._step(f"{name}: one at a time, and ONNX Runtime alone"),
                    self._record_disturbance(name, results),
                ):
                    one_at_a_time = await run_in_process(
                        peer.measure_peer, settings, task, model, payloads[name], count, 1
                    )
                    limit = await run_in_process(
                        runtime_limit.measure_limit, task, model, payloads[name], machine.usable_cores()
                    )
                costs[name] = task_costs.TaskCost(backlogs[name], one_at_a_time, limit)
        return costs

    async def _measure_replay(self, settings: Settings, results: BenchmarkResults) -> replay.ReplayComparison:
        async with self._run_processes(settings, "kafka"):
            with self._step(f"Writing a log of {self._options.events} events"):
                events = await run_in_process(synthetic_history.publish_history, settings, self._options.events)
        async with self._run_processes(settings, "kafka", "archive"):
            with self._step("Archiving it"), self._record_disturbance("archiving", results):
                per_second = await replay.wait_until_archived(settings)
        runs = defaultdict[str, list[replay.ReaderRun]](list)
        async with self._run_processes(settings, "kafka"):
            started = monotonic()
            for number in range(self._options.repetitions):
                if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                    for name, reader in replay.READERS.items():
                        turn = f"{name} {number + 1}"
                        with self._step(f"Reading the log: {turn}"), self._record_disturbance(turn, results):
                            out = settings.home / f"{name}-{number}"
                            runs[name].append(await run_in_process(reader, settings, out))
        medians = {name: replay.median_run(readings) for name, readings in runs.items()}
        return replay.ReplayComparison(events, per_second, medians)

    @asynccontextmanager
    async def _run_processes(self, settings: Settings, *processes: str) -> AsyncIterator[None]:
        """Run only these processes of the platform."""
        supervisor = Supervisor(settings, only=processes, console=Console(quiet=True))
        try:
            with self._step(f"Starting {' and '.join(processes)} alone"):
                await supervisor.start()
            yield
        finally:
            await supervisor.stop()

    @contextmanager
    def _record_disturbance(self, name: str, results: BenchmarkResults) -> Iterator[None]:
        """Record the cores that other processes use during the block."""
        before = measure_cpu({})
        yield
        results.others[name] = core_usage(before, measure_cpu({})).others

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._console.print(f"[dim]{monotonic() - self._started:5.0f} s[/dim]  {name}")
        yield
