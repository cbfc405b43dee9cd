"""The measurements of each task: what an event and a kB cost, and how fast the peers are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import Settings
from app.tasks import load_tasks
from benchmarks import in_process, machine, throughput
from benchmarks.child_process import BenchmarkError, run_in_process
from benchmarks.options import BenchmarkOptions
from benchmarks.payloads import enlarge, make_payloads
from benchmarks.peers.processes import PEERS, run_peer
from benchmarks.platform import Stack, run_processes
from benchmarks.progress import Progress
from benchmarks.resource_usage import CoreUsage
from benchmarks.stage_costs import cost_of_load
from benchmarks.task_costs import SizedCost, TaskCost
from models import tensors
from models.base import Task

SEED = 20_000


async def measure_tasks(
    stack: Stack, rest: CoreUsage, options: BenchmarkOptions, progress: Progress, costs: dict[str, TaskCost]
) -> None:
    """Saturate the platform with each task's payloads of several sizes, and do the same work in one process."""
    for name, task in chosen_tasks(stack.settings, options).items():
        with progress.step(f"{name}: making payloads"):
            payloads = await run_in_process(make_payloads, task, options.task_payloads, SEED)
        with progress.step(f"{name}: warming up"):
            await throughput.drain_backlog(stack, name, payloads, options.task_requests // 2)
        drains, sizes = [], []
        for extra_kb in options.extra_kb:
            with progress.step(f"{name}: a backlog of {options.task_requests}, {extra_kb:g} kB larger each"):
                enlarged = [enlarge(payload, round(extra_kb * 1000)) for payload in payloads]
                drain = await throughput.drain_backlog(stack, name, enlarged, options.task_requests)
            drains.append(drain)
            costs_of_size = cost_of_load([drain.until_settled], rest, drain.requests)
            speed = await run_in_process(
                in_process.measure_in_process, task, shipped_model(task), enlarged, machine.usable_cores()
            )
            kilobytes = await run_in_process(measure_kilobytes, task, enlarged)
            sizes.append(SizedCost(kilobytes, costs_of_size, speed))
        costs[name] = TaskCost(drains[0], sizes)


async def measure_peers(
    settings: Settings, options: BenchmarkOptions, progress: Progress, costs: dict[str, TaskCost]
) -> None:
    """Saturate each peer with the payloads of each task. A peer that can't be installed is left out, and said."""
    async with run_processes(settings, "kafka") as supervisor:
        broker_pid = supervisor.processes["kafka"].pid
        assert broker_pid is not None
        for name, task in chosen_tasks(settings, options).items():
            payloads = await run_in_process(make_payloads, task, options.task_payloads, SEED)
            for peer in PEERS:
                with progress.measured_step(f"{name}: {peer.name}"):
                    try:
                        async with run_peer(settings, peer, name, broker_pid, machine.usable_cores()) as running:
                            await throughput.drain_backlog(running, name, payloads, options.task_requests // 2)
                            drain = await throughput.drain_backlog(running, name, payloads, options.task_requests)
                    except BenchmarkError as error:
                        progress.note(str(error))
                    else:
                        costs[name].peers[peer.name] = drain


def chosen_tasks(settings: Settings, options: BenchmarkOptions) -> dict[str, Task]:
    """Return the tasks to measure, by name."""
    return {name: task for name, task in load_tasks(settings).items() if not options.tasks or name in options.tasks}


def shipped_model(task: Task) -> Path:
    """Return the file of the version that serves."""
    return shipped_versions(task)[shipped_champion(task).version]


def measure_kilobytes(task: Task, payloads: Sequence[bytes]) -> float:
    """Return the mean size of a payload and its features."""
    return (
        float(np.mean([len(payload) + len(tensors.encode(task.preprocess(payload))[0]) for payload in payloads])) / 1000
    )
