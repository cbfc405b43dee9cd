"""The whole platform under test."""

import os
import signal
from dataclasses import dataclass

from app.embedded.supervisor import Supervisor
from app.settings import Settings
from tests.support.platform import read_pids


@dataclass(frozen=True)
class Stack:
    """A running platform: its settings, and the supervisor to hurt it by."""

    settings: Settings
    supervisor: Supervisor

    def pid(self, name: str) -> int:
        """The id of one of its processes."""
        return read_pids(self.settings)[name]

    def kill(self, name: str) -> None:
        """End one of its processes as the kernel would: no last words."""
        os.kill(self.pid(name), signal.SIGKILL)
