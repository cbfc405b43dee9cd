"""The whole platform under test."""

import os
import signal
from dataclasses import dataclass

from app.embedded.supervisor import Supervisor
from app.settings import Settings
from tests.support.platform import read_pids


@dataclass(frozen=True)
class Stack:
    """A running platform: its settings and its supervisor."""

    settings: Settings
    supervisor: Supervisor

    def pid(self, name: str) -> int:
        """Return the id of one of its processes."""
        return read_pids(self.settings)[name]

    def kill(self, name: str) -> None:
        """Kill one of its processes (SIGKILL)."""
        os.kill(self.pid(name), signal.SIGKILL)
