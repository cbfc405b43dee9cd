"""Which process goes first where processors are scarce."""

import os
from contextlib import suppress
from pathlib import Path

BACKGROUND_NICENESS = 10
"""The niceness of what nobody waits for."""


def lower_priority(niceness: int = BACKGROUND_NICENESS) -> None:
    """Let other processes go first.

    Linux weighs sessions against each other before the processes in them (sched(7), autogroup): a process that leads
    its own session, as the supervisor starts them, says so for that as well.
    """
    os.nice(niceness)
    if niceness and os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or one without it
            Path("/proc/self/autogroup").write_text(str(niceness))
