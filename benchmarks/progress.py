"""The steps of a run on the console, and the cores that other processes used meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console

from benchmarks.resource_usage import core_usage, measure_cpu


class Progress:
    """Prints each step with the time of its beginning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = monotonic()
        self.other_cores: dict[str, float] = {}
        """Cores that other processes used, by step."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step."""
        self._console.print(f"[dim]{monotonic() - self._started:5.0f} s[/dim]  {name}")
        yield

    def note(self, text: str) -> None:
        """Print what went another way than planned."""
        self._console.print(text, style="yellow", markup=False)

    @contextmanager
    def measured_step(self, name: str) -> Iterator[None]:
        """Announce a step, and record the cores that other processes use during it."""
        with self.step(name):
            before = measure_cpu({})
            yield
            self.other_cores[name] = core_usage(before, measure_cpu({})).others
