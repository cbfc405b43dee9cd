"""Scheduling priority of background processes."""

import os
from contextlib import suppress
from pathlib import Path

BACKGROUND_NICENESS = 10
"""Niceness of processes whose results nobody waits for."""


def lower_priority(niceness: int = BACKGROUND_NICENESS) -> None:
    """Lower the priority of this process.

    A session leader, such as a process of the supervisor, must also lower the priority of its session's autogroup,
    because Linux schedules sessions before processes: see sched(7).
    """
    os.nice(niceness)
    if niceness and os.getsid(0) == os.getpid():
        with suppress(OSError):  # not every system has autogroups
            Path("/proc/self/autogroup").write_text(str(niceness))
