"""Memory and CPU time are those of whole process trees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import resource_usage
from benchmarks.child_process import BenchmarkError, run_in_process

NESTED = """
import subprocess, sys
if programs := sys.argv[1:]:
    subprocess.run([programs[0], __file__, *programs[1:]])
else:
    print("ready", flush=True)
    input()
"""


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


def test_flinks_jvm_and_its_workers_are_stages_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "nested.py").write_text(NESTED)
    (tmp_path / "java").symlink_to(Path(sys.executable).resolve())
    process = subprocess.Popen(
        [sys.executable, tmp_path / "nested.py", tmp_path / "java", sys.executable],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        memory = resource_usage.measure_memory({"preprocess": process.pid})
    finally:
        process.communicate(b"\n")
    assert set(memory.by_process) == {"preprocess", "preprocess JVM", "preprocess workers"}


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
