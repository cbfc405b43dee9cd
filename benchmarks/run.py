"""A run of the benchmark: its parts, in their order."""

import tempfile
from collections import defaultdict
from pathlib import Path
from time import monotonic

from rich.console import Console

from app.settings import Settings
from benchmarks import in_process, machine, replay, runtime_limit, synthetic_history, task_run
from benchmarks.child_process import run_in_process
from benchmarks.model_run import MODELS, measure_models
from benchmarks.options import BenchmarkOptions
from benchmarks.platform import benchmark_settings, run_processes
from benchmarks.platform_run import MAX_PHASE_SECONDS, measure_platform
from benchmarks.progress import Progress
from benchmarks.results import BenchmarkResults
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads

ON_PLATFORM = {"saturated", "latency", "overload", "tasks", "commands", "starts"}


class BenchmarkRun:
    """One run of the benchmark."""

    def __init__(self, options: BenchmarkOptions, console: Console) -> None:
        self._options = options
        self._progress = Progress(console)
        self._task = Ocr()
        self.results = BenchmarkResults(machine.describe_machine(Settings()), "", others=self._progress.other_cores)
        """What has been measured so far."""

    async def measure(self) -> None:
        """Measure the chosen parts, in a home that is removed at the end."""
        results = self.results
        only, model, cores = set(self._options.only), task_run.shipped_model(self._task), machine.usable_cores()
        with tempfile.TemporaryDirectory(prefix="hindsight-bench-", ignore_cleanup_errors=True) as scratch:
            settings = benchmark_settings(Path(scratch) / "home")
            with self._progress.step(f"Making {self._options.payloads} images of lines"):
                samples = await run_in_process(make_payloads, self._options.payloads, task_run.SEED)
                payloads = [sample.payload for sample in samples]
            size = sum(map(len, payloads)) / len(payloads)
            results.load = f"{len(payloads)} distinct PNG files of handwritten digits, {size:.0f} bytes on average."
            if only & ON_PLATFORM:
                await measure_platform(settings, self._task.name, payloads, self._options, self._progress, results)
            if "whole" in only:
                with self._progress.measured_step("ONNX Runtime with preprocessing and decoding, in one process"):
                    results.whole = await run_in_process(
                        in_process.measure_in_process, self._task, model, payloads, cores
                    )
            if "limit" in only:
                with self._progress.measured_step("ONNX Runtime alone"):
                    results.limit = await run_in_process(
                        runtime_limit.measure_limit, self._task, model, payloads, cores
                    )
            if "tasks" in only:
                peer_settings = benchmark_settings(Path(scratch) / "peers")
                await task_run.measure_peers(peer_settings, self._options, self._progress, results.tasks)
            if "models" in only:
                model_settings = benchmark_settings(Path(scratch) / "models", MODELS)
                results.models_at_rest = await measure_models(
                    model_settings, self._options, self._progress, results.models
                )
            if "replay" in only:
                results.replay = await self._measure_replay(benchmark_settings(Path(scratch) / "replay"))

    async def _measure_replay(self, settings: Settings) -> replay.ReplayComparison:
        async with run_processes(settings, "kafka"):
            with self._progress.step(f"Writing a log of {self._options.events} events"):
                events = await run_in_process(synthetic_history.publish_history, settings, self._options.events)
        async with run_processes(settings, "kafka", "archive"):
            with self._progress.measured_step("Archiving it"):
                per_second = await replay.wait_until_archived(settings)
        runs = defaultdict[str, list[replay.ReaderRun]](list)
        async with run_processes(settings, "kafka"):
            started = monotonic()
            for number in range(self._options.repetitions):
                if number == 0 or monotonic() - started < MAX_PHASE_SECONDS:
                    for name, reader in replay.READERS.items():
                        with self._progress.measured_step(f"Reading the log: {name} {number + 1}"):
                            out = settings.home / f"{name}-{number}"
                            runs[name].append(await run_in_process(reader, settings, out))
        medians = {name: replay.median_run(readings) for name, readings in runs.items()}
        return replay.ReplayComparison(events, per_second, medians)
