"""Memory and CPU time of process trees: by name, and within `preprocess` by its three stages."""

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.settings import MiB

ProcessRoots = Mapping[str, int]
"""The root process id of each tree, by name."""


@dataclass(frozen=True)
class Memory:
    """MiB by process type. `kind` is PSS, which divides shared memory among processes, or RSS, which does not."""

    kind: str
    by_process: dict[str, float]

    @property
    def total(self) -> float:
        """Return the sum of all process types."""
        return sum(self.by_process.values())


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds: of each tree, of the benchmark with all its descendants, and of the whole machine."""

    measured_at: float
    by_process: dict[str, float]
    benchmark_seconds: float
    machine_seconds: float


@dataclass(frozen=True)
class CoreUsage:
    """Cores in use between two measurements. `others` is used neither by the platform nor by the benchmark."""

    seconds: float
    by_process: dict[str, float]
    others: float

    @property
    def total(self) -> float:
        """Return the sum of all process types."""
        return sum(self.by_process.values())

    def milliseconds_each(self, count: int) -> dict[str, float]:
        """Return the CPU time for each of `count` events."""
        return {name: cores * self.seconds * 1000 / count for name, cores in self.by_process.items()}


def measure_memory(trees: ProcessRoots) -> Memory:
    """Return the memory of each tree."""
    pss = Path("/proc/self/smaps_rollup").exists()
    measure = _pss_kib if pss else _rss_kib
    return Memory(
        "PSS" if pss else "RSS",
        {name: sum(map(measure, members)) / 1024 for name, members in processes_by_stage(trees).items()},
    )


def measure_cpu(trees: ProcessRoots) -> CpuTimes:
    """Return the CPU time of each tree so far."""
    by_process = {name: sum(map(_cpu_seconds, members)) for name, members in processes_by_stage(trees).items()}
    benchmark = psutil.Process()
    processes = (benchmark, *benchmark.children(recursive=True))
    benchmark_seconds = sum(_cpu_seconds(process, with_reaped=True) for process in processes)
    machine = psutil.cpu_times()
    fields = ("user", "system", "nice", "irq", "softirq", "steal")
    machine_seconds = sum(getattr(machine, name, 0.0) for name in fields)
    return CpuTimes(time.monotonic(), by_process, benchmark_seconds, machine_seconds)


def core_usage(before: CpuTimes, after: CpuTimes) -> CoreUsage:
    """Return the cores in use between two measurements."""
    seconds = after.measured_at - before.measured_at
    cores = {name: (after.by_process[name] - before.by_process.get(name, 0.0)) / seconds for name in after.by_process}
    machine_seconds = after.machine_seconds - before.machine_seconds
    benchmark_seconds = after.benchmark_seconds - before.benchmark_seconds
    return CoreUsage(seconds, cores, max(0.0, (machine_seconds - benchmark_seconds) / seconds))


def peak_mib() -> float:
    """Return the peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage counts what the parent held at the fork as well
        return next(
            float(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MiB


def processes_by_stage(trees: ProcessRoots) -> dict[str, list[psutil.Process]]:
    """Return the processes of each tree, by stage; a process below two roots belongs to the lower one."""
    roots = {pid: name for name, pid in trees.items()}
    members: dict[str, list[psutil.Process]] = {}

    def walk(process: psutil.Process, name: str) -> None:
        members.setdefault(name, []).append(process)
        with suppress(psutil.Error):
            for child in process.children():
                if child.pid not in roots:
                    walk(child, _child_stage(child, name))

    for pid, name in roots.items():
        with suppress(psutil.NoSuchProcess):
            walk(psutil.Process(pid), name)
    return members


def _child_stage(child: psutil.Process, parent_stage: str) -> str:
    """Return the stage of a process: Flink's JVM is a child of `preprocess`, the JVM's children are its workers."""
    if parent_stage == "preprocess" and child.name() == "java":
        return "preprocess JVM"
    return "preprocess workers" if parent_stage == "preprocess JVM" else parent_stage


@contextmanager
def stopped_trees(roots: Sequence[int]) -> Iterator[None]:
    """Stop the processes of these trees (SIGSTOP) for as long as the block lasts."""
    processes = [process for root in map(psutil.Process, roots) for process in (root, *root.children(recursive=True))]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _pss_kib(process: psutil.Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def _rss_kib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1024
    except psutil.Error:
        return 0.0


def _cpu_seconds(process: psutil.Process, with_reaped: bool = False) -> float:
    """Return the CPU seconds of a process, with those of its reaped children if `with_reaped`."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    reaped = times.children_user + times.children_system if with_reaped else 0.0
    return float(times.user + times.system + reaped)
