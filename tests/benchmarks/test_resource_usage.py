"""Memory and CPU time are those of whole process trees."""

import os
import subprocess
import sys

import pytest

from benchmarks import resource_usage
from benchmarks.child_process import BenchmarkError, run_in_process


def test_memory_of_a_tree_counts_its_children() -> None:
    alone = resource_usage.measure_memory({"me": os.getpid()}).total
    child = subprocess.Popen(
        [sys.executable, "-c", "block = b'1' * (256 << 20); print(len(block), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        together = resource_usage.measure_memory({"me": os.getpid()})
        separate = resource_usage.measure_memory({"me": os.getpid(), "child": child.pid})
    finally:
        child.communicate(b"\n")
    assert together.total > alone
    assert set(separate.by_process) == {"me", "child"}
    assert separate.by_process["child"] > 1


def test_cores_in_use_are_those_of_the_tree() -> None:
    before = resource_usage.measure_cpu({"me": os.getpid()})
    sum(range(3_000_000))
    busy = resource_usage.core_usage(before, resource_usage.measure_cpu({"me": os.getpid()}))
    assert 0 < busy.total <= 2
    assert sum(busy.milliseconds_each(10).values()) == pytest.approx(busy.total * busy.seconds * 100)


async def test_the_peak_memory_is_that_of_the_process_alone() -> None:
    block = bytearray(256 << 20)
    block[::4096] = bytes(1) * len(block[::4096])
    assert resource_usage.peak_mib() > 256
    assert await run_in_process(resource_usage.peak_mib) < 256


async def test_a_function_runs_in_a_process_of_its_own() -> None:
    assert await run_in_process(os.getpid) != os.getpid()


async def test_a_function_that_fails_there_is_an_error_here() -> None:
    with pytest.raises(BenchmarkError, match="exit code 1"):
        await run_in_process(os.listdir, "/nowhere")
