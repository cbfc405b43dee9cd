"""The measurements of the running platform: at rest, under steady loads, and saturated."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from app.settings import Settings
from benchmarks import latency, load_generator, throughput
from benchmarks.child_process import BenchmarkError, run_in_process
from benchmarks.options import BenchmarkOptions
from benchmarks.platform import Stack, run_platform
from benchmarks.progress import Progress
from benchmarks.resource_usage import core_usage
from benchmarks.results import BenchmarkResults
from benchmarks.settling import wait_until_settled

REST_SECONDS = 10.0  # until what a start leaves to do is done
FIRST_RATE = 200.0
ANSWER_TIMEOUT_SECONDS = 20.0
MAX_PHASE_SECONDS = 50.0
"""No repetition starts after this time."""


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
        await PlatformMeasurements(stack, task, payloads, options, progress, results).run()
    finally:
        with progress.step("Stopping it"):
            await platform.__aexit__(None, None, None)
    if "starts" in options.only:
        with progress.step("Starting it again"):
            async with run_platform(settings) as restarted:
                results.starts["second start"] = restarted.start_seconds


class PlatformMeasurements:
    """The measurements of one running platform, with the requests of one task."""

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

    async def run(self) -> None:
        """Measure the chosen parts."""
        await self._measure_rest()
        with self._progress.step("Warming it up"):
            await self._measure_load(FIRST_RATE, self._options.first_seconds)
        if "latency" in self._options.only:
            for rate in self._options.rates:
                with self._progress.step(f"{rate:g} requests/s"):
                    self._results.latency.append(await self._measure_load(rate, self._options.seconds))
        if "saturated" in self._options.only:
            await self._measure_backlogs()
        self._results.after_load = self._stack.memory()

    async def _measure_rest(self) -> None:
        with self._progress.step("Waiting until it is at rest"):
            await asyncio.sleep(REST_SECONDS)
        with self._progress.step(f"At rest for {self._options.rest_seconds:g} s"):
            before = self._stack.cpu()
            await asyncio.sleep(self._options.rest_seconds)
            self._results.rest = core_usage(before, self._stack.cpu())
            self._results.at_rest = self._stack.memory()

    async def _measure_backlogs(self) -> None:
        count, started = self._options.requests, monotonic()
        for number in range(self._options.repetitions):
            if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                with self._progress.step(f"A backlog of {count}, number {number + 1}"):
                    backlog = await throughput.drain_backlog(self._stack, self._task, self._payloads, count)
                    self._results.saturated.append(backlog)

    async def _measure_load(self, rate: float, seconds: float) -> latency.Latency:
        plan = load_generator.LoadPlan(
            self._stack.settings.bootstrap, self._task, rate, self._options.warm_up, seconds, ANSWER_TIMEOUT_SECONDS
        )
        before = self._stack.cpu()
        load = await run_in_process(load_generator.run_load, plan, self._payloads)
        await wait_until_settled(self._stack.settings)
        after = self._stack.cpu()
        figures = latency.summarize_load(rate, load)
        if figures.failed == figures.requests:
            raise BenchmarkError(f"every request failed: {figures.reason}")
        return replace(
            figures,
            sent=plan.request_count,
            busy=core_usage(before, after),
            generator_cores=load.cpu_seconds / (seconds + self._options.warm_up),
        )
