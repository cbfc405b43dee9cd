"""The included pretrained models: the saturated platform beside the same model alone in one process."""

from asyncio import sleep
from dataclasses import dataclass

from app.settings import Settings
from app.tasks import load_tasks
from benchmarks import in_process, machine, throughput
from benchmarks.child_process import run_in_process
from benchmarks.in_process import InProcessSpeed
from benchmarks.options import BenchmarkOptions
from benchmarks.payloads import make_payloads
from benchmarks.platform import run_platform
from benchmarks.progress import Progress
from benchmarks.resource_usage import Memory
from benchmarks.task_run import SEED, shipped_model
from benchmarks.throughput import BacklogResult
from models.small import SMALL_TASKS

MODELS = {name: path.replace(".small.", ".") for name, path in SMALL_TASKS.items() if ".small." in path}
SETTLING_SECONDS = 15.0
ROUNDS = 1
"""In one process, after the one that warms up: pages take seconds."""


@dataclass(frozen=True)
class ModelSpeed:
    """A backlog on the platform, and the same requests in one process."""

    drain: BacklogResult
    in_process: InProcessSpeed

    @property
    def ratio(self) -> float:
        """Return the platform's throughput as a share of that in one process."""
        return self.drain.per_second / self.in_process.per_second


async def measure_models(
    settings: Settings, options: BenchmarkOptions, progress: Progress, speeds: dict[str, ModelSpeed]
) -> Memory:
    """Saturate a platform of these models only with the requests of each demonstration. Return its memory at rest."""
    drains: dict[str, BacklogResult] = {}
    tasks, count = load_tasks(settings), options.model_requests
    payloads = {name: await run_in_process(make_payloads, task, count, SEED) for name, task in tasks.items()}
    with progress.step("Starting the platform with the included models"):
        platform = run_platform(settings)
        stack = await platform.__aenter__()
    try:
        await sleep(SETTLING_SECONDS)
        memory = stack.memory()
        for name in tasks:
            with progress.step(f"{name}: a backlog of {count} to warm it up, and another one"):
                await throughput.drain_backlog(stack, name, payloads[name], count // 4)
                drains[name] = await throughput.drain_backlog(stack, name, payloads[name], count)
    finally:
        with progress.step("Stopping it"):
            await platform.__aexit__(None, None, None)
    for name, task in tasks.items():
        with progress.measured_step(f"{name}: the model alone, in one process"):
            speed = await run_in_process(
                in_process.measure_in_process,
                *(task, shipped_model(task), payloads[name], machine.usable_cores(), in_process.BATCH_SIZE, ROUNDS),
            )
        speeds[name] = ModelSpeed(drains[name], speed)
    return memory
