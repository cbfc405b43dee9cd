"""When to restart a running process: it does not answer, or it makes no progress. Pure.

Each consecutive restart doubles the timeout, so that a process that restarts do not help is not restarted all the time.
"""

from dataclasses import dataclass, field

STARTUP_TIMEOUT_SECONDS = 180.0
"""Time in which a process must answer for the first time."""
HEALTHY_SECONDS = 300.0
"""The timeouts are reset once a process has answered for so long."""
SUPERVISOR_PAUSE_SECONDS = 10.0
"""If the supervisor itself has paused for so long between two checks, it restarts the count of silence."""
MAX_DOUBLINGS = 6


@dataclass
class BackoffTimeout:
    """A timeout that each consecutive restart doubles."""

    seconds: float
    doublings: int = 0

    @property
    def current_seconds(self) -> float:
        """The timeout that applies now."""
        return self.seconds * 2.0**self.doublings

    def double(self) -> None:
        """Double the timeout after a restart."""
        self.doublings = min(self.doublings + 1, MAX_DOUBLINGS)

    def reset(self) -> None:
        """Return to the initial timeout."""
        self.doublings = 0


@dataclass
class LivenessPolicy:
    """Whether to restart a process because it does not answer, over all its runs."""

    silence_timeout: BackoffTimeout
    startup_timeout: BackoffTimeout = field(default_factory=lambda: BackoffTimeout(STARTUP_TIMEOUT_SECONDS))
    answered: bool = False
    """Whether this run has answered yet."""
    silent_seconds: float = 0.0
    _run: float | None = None
    _answered_since: float = 0.0
    """Time of this run's first answer."""
    _last_answer: float = 0.0
    _last_check: float = 0.0

    def should_restart(self, now: float, run: float | None, alive: bool, is_excused: bool) -> bool:
        """Return whether to restart. `run` identifies the run; `is_excused`: a process it needs to start is away."""
        supervisor_paused = now - self._last_check > SUPERVISOR_PAUSE_SECONDS
        self._last_check = now
        if run != self._run or supervisor_paused:
            self.answered = self.answered and run == self._run
            self._run, self._last_answer = run, now
        if alive:
            if not self.answered:
                self.answered, self._answered_since = True, now
            elif now - self._answered_since > HEALTHY_SECONDS:
                self.silence_timeout.reset()
                self.startup_timeout.reset()
            self._last_answer = now
        elif is_excused and not self.answered:
            self._last_answer = now
        self.silent_seconds = now - self._last_answer
        return self.silent_seconds > self._timeout.current_seconds

    def record_restart(self) -> None:
        """Record that the process was restarted for its silence."""
        self._timeout.double()

    @property
    def _timeout(self) -> BackoffTimeout:
        return self.silence_timeout if self.answered else self.startup_timeout

    def answering_seconds(self, now: float) -> float:
        """Return for how long this run has answered."""
        return now - self._answered_since if self.answered else 0.0


@dataclass
class ProgressPolicy:
    """Whether to restart a process because it makes no progress."""

    timeout: BackoffTimeout
    _last_restart: float = 0.0

    def should_restart(self, now: float, stalled_seconds: float, is_excused: bool) -> bool:
        """Return whether to restart after a stall. `is_excused`: for a reason that a restart would not remove."""
        if is_excused or not stalled_seconds:
            self._last_restart = now
        if not stalled_seconds:
            self.timeout.reset()
        return min(stalled_seconds, now - self._last_restart) > self.timeout.current_seconds

    def record_restart(self, now: float) -> None:
        """Record that the process was restarted."""
        self.timeout.double()
        self._last_restart = now
