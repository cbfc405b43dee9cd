"""The pool's side of one worker process: start it, hand it a message, watch it, kill it."""

import logging
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel
from app.settings import CHECKOUT

log = logging.getLogger("preprocess")

START_SECONDS = 60.0
"""Time for a worker to load its task."""
_EXIT_SECONDS = 2.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Workers run in parallel, so the loops inside each of them use one thread."""


class WorkerDied(Exception):
    """The worker ended before it answered."""


class DeadlineExceeded(Exception):
    """The worker took longer for its message than the deadline allows."""


class WorkerUnstartable(RuntimeError):
    """The worker can't load the task. Its standard error has the reason."""


@dataclass(frozen=True)
class WorkerCommand:
    """A worker's command line, with the number of its socket inserted before `extra_arguments`, and environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    extra_arguments: Sequence[str] = ()


class WorkerProcess:
    """A worker process. It gets one message at a time."""

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
        """When the deadline's clock started; None while it is stopped."""
        self.idle_since = self._started

    def submit(self, message: Message) -> None:
        """Send a message, now or as soon as the worker is ready."""
        self._message = message
        if self._ready:
            self._send_pending()

    def wait_ready(self) -> None:
        """Return once the worker has loaded its task. Raises `WorkerUnstartable`."""
        while not self._ready:
            self._receive(self._started + START_SECONDS - time.monotonic())

    def wait(self, seconds: float) -> Message | None:
        """Return the answer, or progress towards it; None if there is none within `seconds`.

        Raises `WorkerDied`, `DeadlineExceeded` and `WorkerUnstartable`; the caller must then kill the worker.
        """
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            left = until - now
            if self._deadline_started is not None:
                left = min(left, self._deadline_started + self._deadline_seconds - now)
            answer = self._receive(max(0.0, left))
            if answer is not None:
                self.idle_since = time.monotonic()
                self._deadline_started = self.idle_since if answer[0] == "progress" else None
                return answer
            now = time.monotonic()
            if self._deadline_started is not None and now >= self._deadline_started + self._deadline_seconds:
                raise DeadlineExceeded
            if now >= until:
                return None

    def stop(self) -> None:
        """Let the worker end its message early: its answer comes soon after the payload that it reads now."""
        with suppress(ChannelClosed):  # the next `wait` raises WorkerDied
            self._channel.send(("stop",))

    def kill(self) -> None:
        """End the process, whatever its state."""
        self._process.kill()
        self._channel.close()
        self._exit_code()

    def retire(self) -> None:
        """End an idle worker: it exits when its channel closes."""
        self._channel.close()
        if self._exit_code() is None:
            self.kill()

    def _receive(self, seconds: float) -> Message | None:
        """Return an answer; None for a message about the worker's own state, or if there is none in time."""
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
            except ChannelClosed:  # the next `wait` raises WorkerDied
                log.debug("a worker ended before it got its message")
