"""When a process that lives is started again all the same: it is silent, or it makes no progress. Pure.

Each restart in a row doubles the patience: what a restart does not help is not restarted all the time.
"""

from dataclasses import dataclass, field

STARTING_SECONDS = 180.0
"""How long a process may take until it answers for the first time."""
WELL_SECONDS = 300.0
"""A process that has answered for so long is as patient with as one that never was silent."""
LATE_SECONDS = 10.0
"""A supervisor that has not looked for so long was itself held up: it begins to count anew."""
MOST_DOUBLINGS = 6


@dataclass
class Patience:
    """So many seconds, doubled by each restart in a row."""

    seconds: float
    doublings: int = 0

    @property
    def now(self) -> float:
        """What is allowed now."""
        return self.seconds * 2.0**self.doublings

    def double(self) -> None:
        """It was in vain."""
        self.doublings = min(self.doublings + 1, MOST_DOUBLINGS)

    def reset(self) -> None:
        """All is well."""
        self.doublings = 0


@dataclass
class Liveness:
    """Whether one process answers, run after run."""

    stalled: Patience
    starting: Patience = field(default_factory=lambda: Patience(STARTING_SECONDS))
    answered: bool = False
    """Whether this run has answered."""
    silent_seconds: float = 0.0
    _run: float | None = None
    _since: float = 0.0
    """When this run answered for the first time."""
    _last: float = 0.0
    _looked: float = 0.0

    def look(self, now: float, run: float | None, alive: bool, excused: bool) -> bool:
        """Whether to start it again. `run` tells the runs apart; `excused`: what it needs to start is away."""
        held_up = now - self._looked > LATE_SECONDS
        self._looked = now
        if run != self._run or held_up:
            self.answered = self.answered and run == self._run
            self._run, self._last = run, now
        if alive:
            if not self.answered:
                self.answered, self._since = True, now
            elif now - self._since > WELL_SECONDS:
                self.stalled.reset()
                self.starting.reset()
            self._last = now
        elif excused and not self.answered:
            self._last = now
        self.silent_seconds = now - self._last
        return self.silent_seconds > self._patience.now

    def restarted(self) -> None:
        """It was started again for its silence."""
        self._patience.double()

    @property
    def _patience(self) -> Patience:
        return self.stalled if self.answered else self.starting

    def lived(self, now: float) -> float:
        """For how long it has answered in this run."""
        return now - self._since if self.answered else 0.0


@dataclass
class Stuck:
    """Whether what makes no progress is to be started again."""

    patience: Patience
    _since: float = 0.0

    def look(self, now: float, still_seconds: float, excused: bool) -> bool:
        """`still_seconds`: how long nothing has moved that should; `excused`: for a reason that a restart won't end."""
        if excused or not still_seconds:
            self._since = now
        if not still_seconds:
            self.patience.reset()
        return min(still_seconds, now - self._since) > self.patience.now

    def restarted(self, now: float) -> None:
        """It was started again."""
        self.patience.double()
        self._since = now
