"""What a run may hold is bounded: a real process that holds more."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys, time
from app.system.memory_limit import bound
import psutil
bound(psutil.Process().memory_info().rss + 64 * 2**20, lambda: (print("too much", flush=True), os._exit(0)))
{holds}
time.sleep(1)
print("enough")
"""
CHILD = 'held = "1" * (128 * 2**20); import time; time.sleep(5)'


def ran(holds: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.format(holds=holds)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ('held = "1" * (16 * 2**20)', "enough"),
        ('held = "1" * (96 * 2**20)', "too much"),
        (f"subprocess.run([sys.executable, '-c', {CHILD!r}])", "too much"),
    ],
    ids=["less", "more", "a child more"],
)
def test_who_holds_more_than_the_bound_is_told(holds: str, said: str) -> None:
    done = ran(holds)
    assert done.stdout.strip() == said, done.stderr


def test_far_beyond_the_bound_allocations_fail() -> None:
    assert "MemoryError" in ran('held = "1" * 2**30').stderr
