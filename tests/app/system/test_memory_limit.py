"""The memory limit, in real processes that allocate more or less."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys, time
from app.system.memory_limit import limit_memory
import psutil
limit_memory(psutil.Process().memory_info().rss + 64 * 2**20, lambda: (print("too much", flush=True), os._exit(0)))
{allocation}
time.sleep(1)
print("enough")
"""
CHILD = 'block = "1" * (128 * 2**20); import time; time.sleep(5)'


def run_with(allocation: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.format(allocation=allocation)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("allocation", "output"),
    [
        ('block = "1" * (16 * 2**20)', "enough"),
        ('block = "1" * (96 * 2**20)', "too much"),
        # Without our pipes, for whose end we would wait.
        (f"subprocess.run([sys.executable, '-c', {CHILD!r}], stdout=-3, stderr=-3)", "too much"),
    ],
    ids=["less", "more", "a child more"],
)
def test_a_process_that_exceeds_the_limit_with_its_children_is_notified(allocation: str, output: str) -> None:
    result = run_with(allocation)
    assert result.stdout.strip() == output, result.stderr


def test_allocations_far_beyond_the_limit_fail() -> None:
    assert "MemoryError" in run_with('block = "1" * 2**30').stderr
