"""The demonstration of `make run`: real samples go through the platform, and are corrected or rewarded."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app import tasks, topics
from app.access import own, tls
from app.client import ClientError, Hindsight
from app.embedded import ready
from app.embedded.supervisor import Supervisor
from app.settings import Settings
from models.base import Sample, Task

SAMPLES = 200
PER_SECOND = 20.0
TRICKLE_SECONDS = 5.0
ACTOR = "demo"
ROWS = 15
WIDTH = 40


@dataclass
class Row:
    """One sample and what became of it; `score` is of a prediction only."""

    truth: str
    said: str = ""
    confidence: float | None = None
    milliseconds: float = 0.0
    score: float | None = None
    reward: float | None = None
    mark: Literal["right", "wrong", "corrected", "rewarded", "failed"] = "failed"

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """As columns of the table."""
        confidence = "" if self.confidence is None else f"{self.confidence:.3f}"
        return self.truth, self.said, confidence, f"{self.milliseconds:.0f} ms", self.mark


@dataclass
class Tally:
    """All samples of one task so far, in few numbers."""

    error_name: str
    marks: Counter[str] = field(default_factory=Counter)
    errors: float = 0.0
    rewards: float = 0.0
    milliseconds: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def add(self, row: Row) -> None:
        """Counts one more."""
        self.marks[row.mark] += 1
        if row.score is not None:
            self.errors += 1.0 - row.score
            self.rewards += row.reward or 0.0
            self.milliseconds.append(row.milliseconds)

    def __str__(self) -> str:
        marks, predicted = self.marks, self.marks.total() - self.marks["failed"]
        text = f"{marks.total()} samples, "
        if marks["rewarded"]:
            text += f"{marks['rewarded']} rewarded with {self.rewards / marks['rewarded']:.3f} each"
        else:
            text += f"{marks['wrong'] + marks['corrected']} wrong, {marks['corrected']} corrected"
        if marks["failed"]:
            text += f", {marks['failed']} failed"
        if predicted:
            p50, p99 = np.percentile(self.milliseconds, [50, 99])
            if not marks["rewarded"]:
                text += f"; {self.error_name} {self.errors / predicted:.1%}"
            text += f"; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        return text


async def run(settings: Settings, verbose: bool = False) -> None:
    """The platform and its demonstration, until a signal."""
    await _Platform(settings, verbose).run_until_signal()


class _Platform(Supervisor):
    """The platform, and the demonstration beside it for as long as the platform is up."""

    def __init__(self, settings: Settings, verbose: bool) -> None:
        super().__init__(settings, verbose=verbose)
        console = Console(highlight=False)
        if console.is_terminal and self._console.is_terminal:
            # One console for both, so that what the supervisor says goes above the live table, not through it.
            console = self._console
        self._demonstration = Demonstration(settings, console)
        self._show: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Also starts the demonstration, once all is ready."""
        await super().start()
        self._show = asyncio.create_task(self._demonstrate())

    async def stop(self) -> None:
        """Ends the demonstration first, so that it does not see its broker go."""
        if self._show is not None:
            self._show.cancel()
            await asyncio.gather(self._show, return_exceptions=True)
        await super().stop()

    async def _demonstrate(self) -> None:
        await self.wait_ready(float("inf"))
        try:
            await self._demonstration.run()
        except Exception as error:
            self._say(f"The demonstration has ended: {error!r}. The platform stays up.", "yellow")


class Demonstration:
    """Streams samples of every task, each with its truth."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._tasks = tasks.load(settings)
        self.tallies = {name: Tally(task.error_name) for name, task in self._tasks.items()}
        self._chance = np.random.default_rng()
        self._rows: deque[Row] = deque(maxlen=ROWS)
        self._url = ready.api_url(settings)

    async def run(self, samples: int = SAMPLES, trickle_seconds: float = TRICKLE_SECONDS) -> None:
        """A burst, then what it showed, then a sample now and then for as long as the platform is up."""
        key = own.find(self._settings)
        async with Hindsight(
            self._settings.bootstrap,
            api_url=self._url,
            api_key=key,
            verify=tls.verify(self._settings),
            source="hindsight/demo",
        ) as hindsight:
            stream = self._stream()
            self._console.print(
                f"\nThe demonstration sends {samples} samples, {PER_SECOND:g} a second, and corrects or rewards "
                "what comes back."
            )
            await self._burst(hindsight, stream, samples)
            self._console.print(self._summary(trickle_seconds), soft_wrap=True, markup=False)
            await self._trickle(hindsight, stream, trickle_seconds)

    async def _burst(self, hindsight: Hindsight, stream: Iterator[tuple[Task, Sample]], samples: int) -> None:
        live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8)
        if self._console.is_terminal:
            live.start()
        try:
            start = time.monotonic()
            async with asyncio.TaskGroup() as under_way:
                for number in range(samples):
                    if (turn := await asyncio.to_thread(next, stream, None)) is None:
                        break
                    task, sample = turn
                    under_way.create_task(self._one(hindsight, task, sample))
                    await asyncio.sleep(start + (number + 1) / PER_SECOND - time.monotonic())
        finally:
            live.stop()

    async def _trickle(self, hindsight: Hindsight, stream: Iterator[tuple[Task, Sample]], seconds: float) -> None:
        with self._console.status(self._so_far(), refresh_per_second=4) as status:
            while (turn := await asyncio.to_thread(next, stream, None)) is not None:
                await asyncio.sleep(seconds)
                task, sample = turn
                await self._one(hindsight, task, sample)
                status.update(self._so_far())

    async def _one(self, hindsight: Hindsight, task: Task, sample: Sample) -> None:
        """Sends a sample, and corrects its prediction if it is wrong, or says how well it did where that is known."""
        row = Row(_text(sample.correction))
        began = time.monotonic()
        try:
            made = await hindsight.predict(task.name, sample.payload, content_type=sample.content_type)
            row.milliseconds = (time.monotonic() - began) * 1000
            row.said, row.confidence = _text(made.output), made.confidence
            row.score = task.score(made.output, sample.correction)
            row.reward = task.reward(sample, made.output, self._chance)
            row.mark = "right" if row.score == 1.0 else "wrong"
            if row.reward is not None:
                await hindsight.feedback(made.prediction_id, reward=row.reward, actor=ACTOR)
                row.mark = "rewarded"
            elif row.mark == "wrong":
                await hindsight.feedback(made.prediction_id, correction=sample.correction, actor=ACTOR)
                row.mark = "corrected"
        except (ClientError, KafkaError, TimeoutError) as error:
            row.milliseconds = row.milliseconds or (time.monotonic() - began) * 1000
            row.said = row.said or f"({str(error) or 'no answer in time'})"
        self.tallies[task.name].add(row)
        self._rows.append(row)
        if not self._console.is_terminal:
            self._console.print("  ".join(row.cells), soft_wrap=True, markup=False)

    def _stream(self) -> Iterator[tuple[Task, Sample]]:
        """Samples of all tasks in turn, others at every start."""
        streams = deque((task, task.demonstration(time.time_ns() % 2**32)) for task in self._tasks.values())
        while streams:  # a task may have none to show
            task, samples = streams.popleft()
            if (sample := next(samples, None)) is not None:
                yield task, sample
                streams.append((task, samples))

    def _table(self) -> Table:
        table = Table("truth", "prediction", "confidence", "latency", "", caption=self._so_far(), min_width=95)
        for row in self._rows:
            style = {"right": "green", "rewarded": "green", "corrected": "yellow"}.get(row.mark, "red")
            table.add_row(*map(Text, row.cells), style=style)
        return table

    def _so_far(self) -> str:
        return "\n".join(f"{name}: {tally}" for name, tally in self.tallies.items())

    def _summary(self, trickle_seconds: float) -> str:
        task = next(iter(self._tasks))
        command = (
            "hindsight" if shutil.which("hindsight") else os.path.relpath(Path(sys.executable).parent / "hindsight")
        )
        places = {
            f"{self._url}/docs": "the API, to try out",
            f"{self._url}/readyz": "each part, and how far behind it is",
            f"{self._url}/metrics": "counters and latencies, for Prometheus",
            f"{command} send {task} FILE": "a prediction of your own",
            f"{command} feedback ID --correction JSON": "what would have been right",
            f"kcat -b {self._settings.bootstrap} -t {topics.predictions(task)} -o -5 -e": "the last answers in the log",
            f"{self._settings.home / 'logs'}": "what each process says",
        }
        width = max(map(len, places))
        lines = ["", self._so_far(), "", "Where to look next:"]
        lines += [f"  {place:{width}}  {what}" for place, what in places.items()]
        lines += [
            "",
            f"It goes on with a sample every {trickle_seconds:g} s, until Ctrl-C. HINDSIGHT_DEMO=0 leaves it out.",
        ]
        return "\n".join(lines)


def _text(output: Mapping[str, Any]) -> str:
    """What an output says, short enough for a table."""
    match output:
        case {"text": str(text)} | {"action": str(text)}:
            pass
        case {"boxes": list(boxes)}:
            text = ", ".join(sorted(str(box["label"]) for box in boxes)) or "nothing"
        case _:
            text = json.dumps(output, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
