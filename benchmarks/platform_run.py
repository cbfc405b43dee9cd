"""The measurements of the running platform: at rest, saturated, under steady loads and an overload, and by task."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from app.settings import Settings
from benchmarks import commands, latency, load_generator, overload, profiling, task_run, throughput
from benchmarks.child_process import BenchmarkError, run_in_process
from benchmarks.load_generator import LoadPlan, Phase
from benchmarks.options import BenchmarkOptions
from benchmarks.platform import Stack, run_platform
from benchmarks.progress import Progress
from benchmarks.resource_usage import core_usage
from benchmarks.results import BenchmarkResults

SETTLING_SECONDS = 10.0  # until what a start leaves to do is done
FIRST_RATE = 200.0
ANSWER_TIMEOUT_SECONDS = 20.0
BASE_SHARE, OVERLOAD_SHARE = 0.5, 2.0
"""Of the saturated throughput: the rates before and after an overload, and that of the overload."""
CALM_SECONDS = 10.0
MAX_PHASE_SECONDS = 50.0
"""No repetition starts after this time."""


class PlatformRun:
    """A run on one platform. Its steady loads are requests of one task."""

    def __init__(
        self,
        stack: Stack,
        task: str,
        payloads: Sequence[bytes],
        options: BenchmarkOptions,
        progress: Progress,
        results: BenchmarkResults,
    ) -> None:
        self._stack = stack
        self._task = task
        self._payloads = payloads
        self._options = options
        self._progress = progress
        self._results = results

    async def measure(self) -> None:
        """Measure the chosen parts."""
        only = set(self._options.only)
        with self._progress.step("Waiting until it is at rest"):
            await asyncio.sleep(SETTLING_SECONDS)
            self._results.at_rest = self._stack.memory()
        with self._progress.step("Warming it up"):
            await self._measure_load(FIRST_RATE, self._options.first_seconds)
        await self._measure_rest()
        if "commands" in only:
            with self._progress.step("Commands of hindsight"):
                self._results.commands = await run_in_process(commands.measure_commands, self._stack.settings)
        if "saturated" in only:
            await self._measure_backlogs()
        if "latency" in only:
            await self._measure_latency()
        if "overload" in only and self._results.throughput:
            await self._measure_overload(self._results.throughput)
        if "tasks" in only:
            assert self._results.rest is not None
            await task_run.measure_tasks(
                self._stack, self._results.rest, self._options, self._progress, self._results.tasks
            )
        self._results.after_load = self._stack.memory()
        if self._options.profile:
            await self._profile(self._options.profile)

    async def _measure_rest(self) -> None:
        with self._progress.step(f"At rest for {self._options.rest_seconds:g} s"):
            before = self._stack.cpu()
            await asyncio.sleep(self._options.rest_seconds)
            self._results.rest = core_usage(before, self._stack.cpu())

    async def _measure_backlogs(self) -> None:
        count, started = self._options.requests, monotonic()
        for number in range(self._options.repetitions):
            if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                with self._progress.step(f"A backlog of {count}, number {number + 1}"):
                    backlog = await throughput.drain_backlog(self._stack, self._task, self._payloads, count)
                    self._results.saturated.append(backlog)

    async def _measure_latency(self) -> None:
        saturated = self._results.throughput
        shares = {share: round(share * saturated) for share in self._options.shares} if saturated else {}
        for rate in (*self._options.rates, *shares.values()):
            with self._progress.step(f"{rate:g} requests/s"):
                self._results.latency.append(await self._measure_load(rate, self._options.seconds))

    async def _measure_load(self, rate: float, seconds: float) -> latency.Latency:
        phase = Phase(rate, self._options.warm_up + seconds)
        plan = self._plan(phase, answer_timeout_seconds=ANSWER_TIMEOUT_SECONDS)
        before = self._stack.cpu()
        load = await run_in_process(load_generator.run_load, plan, self._payloads)
        await self._stack.settle()
        after = self._stack.cpu()
        figures = latency.summarize_load(rate, load)
        if figures.failed == figures.requests:
            raise BenchmarkError(f"every request failed: {figures.reason}")
        return replace(
            figures,
            sent=len(plan.due_seconds),
            busy=core_usage(before, after),
            generator_cores=load.cpu_seconds / phase.seconds,
        )

    async def _measure_overload(self, saturated: float) -> None:
        options = self._options
        phases = (
            Phase(round(BASE_SHARE * saturated), options.warm_up + CALM_SECONDS),
            Phase(round(OVERLOAD_SHARE * saturated), options.overload_seconds),
            Phase(round(BASE_SHARE * saturated), options.recovery_seconds),
        )
        plan = self._plan(*phases, answer_timeout_seconds=options.recovery_seconds, with_stages=False)
        with self._progress.step(f"{phases[1].rate:g} requests/s for {options.overload_seconds:g} s: an overload"):
            load = await run_in_process(load_generator.run_load, plan, self._payloads)
            self._results.overload = overload.summarize_overload(phases, load)
            await self._stack.settle()

    async def _profile(self, folder: Path) -> None:
        rate, roots = self._options.rates[0], self._stack.process_roots
        with self._progress.step(f"Profiling at {rate:g} requests/s"):
            async with profiling.profile_processes(roots, folder / f"{rate:g} requests a second", self._progress):
                await self._measure_load(rate, self._options.seconds)
        with self._progress.step(f"Profiling a backlog of {self._options.requests}"):
            async with profiling.profile_processes(roots, folder / "saturated", self._progress):
                await throughput.drain_backlog(self._stack, self._task, self._payloads, self._options.requests)
        self._progress.note(f"Flame graphs: {folder}")

    def _plan(self, *phases: Phase, answer_timeout_seconds: float, with_stages: bool = True) -> LoadPlan:
        bootstrap, warm_up = self._stack.settings.bootstrap, self._options.warm_up
        return LoadPlan(bootstrap, self._task, phases, warm_up, answer_timeout_seconds, with_stages)


async def measure_platform(
    settings: Settings,
    task: str,
    payloads: Sequence[bytes],
    options: BenchmarkOptions,
    progress: Progress,
    results: BenchmarkResults,
) -> None:
    """Start the platform, measure the chosen parts on it, and stop it."""
    with progress.step("Starting the platform"):
        platform = run_platform(settings)
        stack = await platform.__aenter__()
    try:
        results.starts["first start"] = stack.start_seconds
        await PlatformRun(stack, task, payloads, options, progress, results).measure()
    finally:
        with progress.step("Stopping it"):
            await platform.__aexit__(None, None, None)
    if "starts" in options.only:
        with progress.step("Starting it again"):
            async with run_platform(settings) as restarted:
                results.starts["second start"] = restarted.start_seconds
