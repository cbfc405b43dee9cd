"""When a process that lives is started again all the same: it is silent, or it makes no progress. Pure.

Each restart in a row doubles the patience: what a restart does not help is not restarted all the time.
"""

from dataclasses import dataclass, field

STARTUP_TIMEOUT_SECONDS = 180.0
"""How long a process may take until it answers for the first time."""
HEALTHY_SECONDS = 300.0
"""A process that has answered for so long is as patient with as one that never was silent."""
SUPERVISOR_PAUSE_SECONDS = 10.0
"""A supervisor that has not looked for so long was itself held up: it begins to count anew."""
MAX_DOUBLINGS = 6


@dataclass
class BackoffTimeout:
    """So many seconds, doubled by each restart in a row."""

    seconds: float
    doublings: int = 0

    @property
    def current_seconds(self) -> float:
        """What is allowed now."""
        return self.seconds * 2.0**self.doublings

    def double(self) -> None:
        """It was in vain."""
        self.doublings = min(self.doublings + 1, MAX_DOUBLINGS)

    def reset(self) -> None:
        """All is well."""
        self.doublings = 0


@dataclass
class LivenessPolicy:
    """Whether one process answers, run after run."""

    silence_timeout: BackoffTimeout
    startup_timeout: BackoffTimeout = field(default_factory=lambda: BackoffTimeout(STARTUP_TIMEOUT_SECONDS))
    answered: bool = False
    """Whether this run has answered."""
    silent_seconds: float = 0.0
    _run: float | None = None
    _answered_since: float = 0.0
    """When this run answered for the first time."""
    _last_answer: float = 0.0
    _last_check: float = 0.0

    def should_restart(self, now: float, run: float | None, alive: bool, is_excused: bool) -> bool:
        """Whether to start it again. `run` tells the runs apart; `excused`: what it needs to start is away."""
        held_up = now - self._last_check > SUPERVISOR_PAUSE_SECONDS
        self._last_check = now
        if run != self._run or held_up:
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
        """It was started again for its silence."""
        self._timeout.double()

    @property
    def _timeout(self) -> BackoffTimeout:
        return self.silence_timeout if self.answered else self.startup_timeout

    def answering_seconds(self, now: float) -> float:
        """For how long it has answered in this run."""
        return now - self._answered_since if self.answered else 0.0


@dataclass
class ProgressPolicy:
    """Whether what makes no progress is to be started again."""

    timeout: BackoffTimeout
    _last_restart: float = 0.0

    def should_restart(self, now: float, stalled_seconds: float, is_excused: bool) -> bool:
        """`still_seconds`: how long nothing has moved that should; `excused`: for a reason that a restart won't end."""
        if is_excused or not stalled_seconds:
            self._last_restart = now
        if not stalled_seconds:
            self.timeout.reset()
        return min(stalled_seconds, now - self._last_restart) > self.timeout.current_seconds

    def record_restart(self, now: float) -> None:
        """It was started again."""
        self.timeout.double()
        self._last_restart = now
