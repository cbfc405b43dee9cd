"""Memory and processor time of process trees."""

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.settings import MiB

ProcessRoots = Mapping[str, int]
"""The process id at the root of each named tree."""


@dataclass(frozen=True)
class Memory:
    """MiB by process type; `kind` says of what: PSS shares out what processes share, RSS counts it for each."""

    kind: str
    by_process: dict[str, float]

    @property
    def total(self) -> float:
        """The whole stack's."""
        return sum(self.by_process.values())


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of processor time: each tree's, the benchmark's with all that it ever started, the whole machine's."""

    measured_at: float
    by_process: dict[str, float]
    benchmark_seconds: float
    machine_seconds: float


@dataclass(frozen=True)
class CoreUsage:
    """Cores in use between two moments. `others` are neither platform nor benchmark: on a quiet machine, nobody."""

    seconds: float
    by_process: dict[str, float]
    others: float

    @property
    def total(self) -> float:
        """The whole stack's."""
        return sum(self.by_process.values())

    def milliseconds_each(self, count: int) -> dict[str, float]:
        """Processor time for one event of so many."""
        return {name: cores * self.seconds * 1000 / count for name, cores in self.by_process.items()}


def measure_memory(trees: ProcessRoots) -> Memory:
    """What each tree holds now."""
    pss = Path("/proc/self/smaps_rollup").exists()
    held = {name: sum(map(_pss_mib if pss else _rss_mib, members)) for name, members in _tree_members(trees).items()}
    return Memory("PSS" if pss else "RSS", {name: kib / 1024 for name, kib in held.items()})


def measure_cpu(trees: ProcessRoots) -> CpuTimes:
    """What each tree has used so far."""
    used = {name: sum(map(_cpu_seconds, members)) for name, members in _tree_members(trees).items()}
    me = psutil.Process()
    ours = sum(_cpu_seconds(process, reaped=True) for process in (me, *me.children(recursive=True)))
    machine = psutil.cpu_times()
    shares = ("user", "system", "nice", "irq", "softirq", "steal")
    return CpuTimes(time.monotonic(), used, ours, sum(getattr(machine, share, 0.0) for share in shares))


def core_usage(before: CpuTimes, after: CpuTimes) -> CoreUsage:
    """Cores in use from one moment to another."""
    seconds = after.measured_at - before.measured_at
    used = {name: (after.by_process[name] - before.by_process.get(name, 0.0)) / seconds for name in after.by_process}
    others = (
        after.machine_seconds - before.machine_seconds - (after.benchmark_seconds - before.benchmark_seconds)
    ) / seconds
    return CoreUsage(seconds, used, max(0.0, others))


def peak_mib() -> float:
    """The most memory that this process has ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # where getrusage also tells what the parent held when it made this process
        return next(
            float(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MiB


def _tree_members(trees: ProcessRoots) -> dict[str, list[psutil.Process]]:
    """The processes of each tree; one that is below two roots belongs to the lower."""
    roots = {pid: name for name, pid in trees.items()}
    members: dict[str, list[psutil.Process]] = {}

    def walk(process: psutil.Process, name: str) -> None:
        members.setdefault(name, []).append(process)
        with suppress(psutil.Error):
            for child in process.children():
                if child.pid not in roots:
                    walk(child, name)

    for pid, name in roots.items():
        with suppress(psutil.NoSuchProcess):
            walk(psutil.Process(pid), name)
    return members


def tree_pids(trees: ProcessRoots, name: str) -> list[int]:
    """The processes of one tree."""
    return [process.pid for process in _tree_members(trees)[name]]


def _pss_mib(process: psutil.Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def _rss_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1024
    except psutil.Error:
        return 0.0


def _cpu_seconds(process: psutil.Process, reaped: bool = False) -> float:
    """Seconds of a process; with those of its ended children too, where that is asked for."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    ended = times.children_user + times.children_system if reaped else 0.0
    return float(times.user + times.system + ended)
