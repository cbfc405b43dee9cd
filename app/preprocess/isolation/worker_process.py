"""One worker process, as the pool has it: started, handed a message, watched, and killed."""

import logging
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel
from app.settings import CHECKOUT

log = logging.getLogger("preprocess")

START_SECONDS = 60.0
"""A worker has loaded its task by then, or never will."""
_EXIT_SECONDS = 2.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Workers are what runs in parallel, not the loops inside one of them."""


class WorkerDied(Exception):
    """The worker ended while it worked."""


class DeadlineExceeded(Exception):
    """The worker took longer for its message than it may."""


class WorkerUnstartable(RuntimeError):
    """The task can't be loaded in a worker; what the worker wrote to its standard error says why."""


@dataclass(frozen=True)
class WorkerCommand:
    """How a worker is started: its command line, to which the number of its socket is added, and its environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    extra_arguments: Sequence[str] = ()


class WorkerProcess:
    """A worker process. It is handed one message at a time."""

    def __init__(self, command: WorkerCommand, deadline_seconds: float) -> None:
        ours, theirs = socket.socketpair()
        self._deadline_seconds = deadline_seconds
        with theirs:
            self._process = subprocess.Popen(
                [*command.arguments, str(theirs.fileno()), *command.extra_arguments],
                env={**os.environ, **_ONE_THREAD, **command.environment},
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._channel = MessageChannel(ours)
        self._started = time.monotonic()
        self._ready = False
        self._message: Message | None = None
        self._deadline_started: float | None = None
        """When the clock of the message's deadline began to run; None while it stands still."""
        self.idle_since = self._started

    def submit(self, message: Message) -> None:
        """Hand over a message: at once, or as soon as the worker is ready."""
        self._message = message
        if self._ready:
            self._send_pending()

    def wait_ready(self) -> None:
        """Return once the worker has loaded its task. Raises `WorkerUnstartable`."""
        while not self._ready:
            self._receive(self._started + START_SECONDS - time.monotonic())

    def wait(self, seconds: float) -> Message | None:
        """Return the answer; None if there is none within so many seconds.

        Raises `WorkerDied`, `DeadlineExceeded` and `WorkerUnstartable`; then the worker is to be killed.
        """
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            left = until - now
            if self._deadline_started is not None:
                left = min(left, self._deadline_started + self._deadline_seconds - now)
            answer = self._receive(max(0.0, left))
            if answer is not None:
                self._deadline_started, self.idle_since = None, time.monotonic()
                return answer
            now = time.monotonic()
            if self._deadline_started is not None and now >= self._deadline_started + self._deadline_seconds:
                raise DeadlineExceeded
            if now >= until:
                return None

    def kill(self) -> None:
        """End the process, however it is."""
        self._process.kill()
        self._channel.close()
        self._exit_code()

    def retire(self) -> None:
        """Let an idle worker end: it notices that nobody will ask it any more."""
        self._channel.close()
        if self._exit_code() is None:
            self.kill()

    def _receive(self, seconds: float) -> Message | None:
        """Return an answer; None for a message about the worker's own state, or for none in time."""
        try:
            message = self._channel.receive(max(0.0, seconds))
            if message is None:
                if not self._ready and time.monotonic() >= self._started + START_SECONDS:
                    raise WorkerUnstartable(f"a worker is not ready after {START_SECONDS:g} s")
                return None
            match message[0]:
                case "ready":
                    self._ready = True
                    self._send_pending()
                case "fetching":
                    self._deadline_started = None
                case "fetched":
                    self._deadline_started = time.monotonic()
                case _:
                    return message
        except ChannelClosed as error:
            code = self._exit_code()
            if not self._ready:
                raise WorkerUnstartable(f"a worker ended before it was ready (exit code {code})") from error
            raise WorkerDied(f"exit code {code}: {error}") from error
        return None

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _send_pending(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._deadline_started = time.monotonic()
            try:
                self._channel.send(message)
            except ChannelClosed:  # the next `wait` says so
                log.debug("a worker is gone before it was handed its message")
