"""The demonstration of `make run`: send real samples through the platform, and correct or reward the predictions."""

import asyncio
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app import tasks
from app.auth import local_key
from app.client import ClientError, Hindsight, summarize_output
from app.demo.tally import SampleResult, Tally
from app.embedded import api_readiness
from app.embedded.supervisor import Supervisor
from app.events import topics
from app.kafka.connection import application_options
from app.outcomes.label_aggregation import draw_selection
from app.settings import Settings
from app.settings.namespace import qualify
from app.system import api_tls
from models.base import Sample, Task

BURST_SAMPLES = 200
PER_SECOND = 20.0
MAX_IN_FLIGHT = 16
"""Large models answer fewer samples a second than these."""
BURST_SECONDS = 60.0
"""The burst ends after this time with fewer samples, so that its summary comes soon."""
TRICKLE_SECONDS = 5.0
AUDIT_RATE = 0.3
"""The audit rate of a task without a setting: so the burst's audit, 15 predictions a task, is enough for a score."""
REVIEW_SECONDS = 600.0
"""How long audited predictions of the trickle wait for a person, before the demonstration reviews them itself."""
ACTOR = "demo"
TABLE_ROWS = 15
MAX_CELL_WIDTH = 40
_AUDITED = {"audit_rate": AUDIT_RATE}


async def run(settings: Settings, verbose: bool = False) -> None:
    """Run the platform and its demonstration until a signal."""
    await _DemoSupervisor(with_audit(settings), verbose).run_until_signal()


def with_audit(settings: Settings) -> Settings:
    """Return the settings with the demonstration's audit rate for each task whose settings do not say one."""
    task_settings = {task: settings.for_task(task) for task in settings.tasks}
    audited = {
        task: own if own.model_fields_set & {"audit_rate", "full_feedback"} else own.model_copy(update=_AUDITED)
        for task, own in task_settings.items()
    }
    return settings.model_copy(update={"task_settings": audited})


class _DemoSupervisor(Supervisor):
    """The platform's supervisor, which also runs the demonstration while the platform is up."""

    def __init__(self, settings: Settings, verbose: bool) -> None:
        super().__init__(settings, verbose=verbose)
        console = Console(highlight=False)
        if console.is_terminal and self._console.is_terminal:
            # One console for both, so that the supervisor's messages appear above the live table, not inside it.
            console = self._console
        self._demonstration = Demonstration(settings, console)
        self._demo_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the platform, and the demonstration once the platform is ready."""
        await super().start()
        self._demo_task = asyncio.create_task(self._demonstrate())

    async def stop(self) -> None:
        """Stop the demonstration first, because it needs the broker, then the platform."""
        if self._demo_task is not None:
            self._demo_task.cancel()
            await asyncio.gather(self._demo_task, return_exceptions=True)
        await super().stop()

    async def _demonstrate(self) -> None:
        await self.wait_ready(float("inf"))
        try:
            await self._demonstration.run()
        except Exception as error:
            self._print(f"The demonstration has ended: {error!r}. The platform stays up.", "yellow")


class _Example(NamedTuple):
    """An answer to look at, and the size of its payload."""

    size: int
    prediction_id: str
    text: str


class Demonstration:
    """Sends samples of every task, whose true outputs are known."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._tasks = tasks.load_tasks(settings)
        self.tallies = {name: Tally(task.error_name) for name, task in self._tasks.items()}
        self._rng = np.random.default_rng()
        self._results: deque[SampleResult] = deque(maxlen=TABLE_ROWS)
        self._examples: dict[str, _Example] = {}
        self._url = api_readiness.api_url(settings)

    async def run(self, samples: int = BURST_SAMPLES, trickle_seconds: float = TRICKLE_SECONDS) -> None:
        """Send a burst, print its summary, then send a sample every `trickle_seconds`, for ever."""
        key = local_key.load_key(self._settings)
        async with Hindsight(
            self._settings.bootstrap,
            api_url=self._url,
            api_key=key,
            verify=api_tls.client_verification(self._settings),
            source=qualify("hindsight/demo"),
            kafka=application_options(self._settings),
        ) as hindsight:
            stream = self._iterate_samples()
            self._console.print(
                f"\nThe demonstration sends {samples} samples, or as many as fit into {BURST_SECONDS:g} s, corrects "
                "or rewards the predictions, and reviews those in the audit."
            )
            await self._burst(hindsight, stream, samples)
            self._console.print(self._summary(trickle_seconds), soft_wrap=True, markup=False)
            await self._trickle(hindsight, stream, trickle_seconds)

    async def _burst(self, hindsight: Hindsight, stream: Iterator[tuple[Task, Sample]], samples: int) -> None:
        live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8)
        if self._console.is_terminal:
            live.start()
        try:
            start, slots = time.monotonic(), asyncio.Semaphore(MAX_IN_FLIGHT)
            async with asyncio.TaskGroup() as requests:
                for number in range(samples):
                    await slots.acquire()
                    if time.monotonic() - start > BURST_SECONDS:
                        break
                    if (task_and_sample := await asyncio.to_thread(next, stream, None)) is None:
                        break
                    request = requests.create_task(self._send_sample(hindsight, *task_and_sample))
                    request.add_done_callback(lambda _: slots.release())
                    await asyncio.sleep(start + (number + 1) / PER_SECOND - time.monotonic())
        finally:
            live.stop()

    async def _trickle(self, hindsight: Hindsight, stream: Iterator[tuple[Task, Sample]], seconds: float) -> None:
        with self._console.status(self._progress_text(), refresh_per_second=4) as status:
            async with asyncio.TaskGroup() as requests:
                while (task_and_sample := await asyncio.to_thread(next, stream, None)) is not None:
                    await asyncio.sleep(seconds)
                    requests.create_task(self._send_sample(hindsight, *task_and_sample, REVIEW_SECONDS))
                    status.update(self._progress_text())

    async def _send_sample(self, hindsight: Hindsight, task: Task, sample: Sample, review_seconds: float = 0.0) -> None:
        """Send a sample, then reward its prediction if the task has a reward for it, else correct it if it is wrong.

        Predictions in the audit are reviewed, right or wrong, after so many seconds.
        """
        result = SampleResult(_output_text(sample.correction))
        began, audited = time.monotonic(), ""
        try:
            prediction = await hindsight.predict(task.name, sample.payload, content_type=sample.content_type)
            result.milliseconds = (time.monotonic() - began) * 1000
            result.prediction, result.confidence = _output_text(prediction.output), prediction.confidence
            self._keep_example(task.name, sample, prediction.prediction_id, result.prediction)
            result.score = task.score(prediction.output, sample.correction)
            result.reward = task.reward(sample, prediction.output, self._rng)
            result.status = "right" if result.score == 1.0 else "wrong"
            if result.reward is not None:
                await hindsight.feedback(prediction.prediction_id, reward=result.reward, actor=ACTOR)
                result.status = "rewarded"
            elif draw_selection(self._settings.for_task(task.name), prediction.prediction_id)[0] == "audit":
                audited = prediction.prediction_id
                result.status = "right" if result.score == 1.0 else "corrected"
            elif result.status == "wrong":
                await hindsight.feedback(prediction.prediction_id, correction=sample.correction, actor=ACTOR)
                result.status = "corrected"
        except (ClientError, KafkaError, TimeoutError) as error:
            result.milliseconds = result.milliseconds or (time.monotonic() - began) * 1000
            result.prediction = result.prediction or f"({str(error) or 'no answer in time'})"
        self.tallies[task.name].add(result)
        self._results.append(result)
        if not self._console.is_terminal:
            self._console.print("  ".join(result.cells), soft_wrap=True, markup=False)
        if audited:
            await asyncio.sleep(review_seconds)
            with suppress(ClientError, KafkaError, TimeoutError):
                await hindsight.feedback(audited, correction=sample.correction, queue="audit", blind=True, actor=ACTOR)

    def _keep_example(self, task: str, sample: Sample, prediction_id: str, text: str) -> None:
        """Keep the task's largest sample: the page rather than a line, the photograph rather than a drawing."""
        example = _Example(len(sample.payload), prediction_id, text)
        if task not in self._examples or example.size > self._examples[task].size:
            self._examples[task] = example

    def _iterate_samples(self) -> Iterator[tuple[Task, Sample]]:
        """Yield samples of all tasks in turn, with a new seed at each start."""
        streams = deque((task, task.demonstration(time.time_ns() % 2**32)) for task in self._tasks.values())
        while streams:  # a task may have no samples
            task, samples = streams.popleft()
            if (sample := next(samples, None)) is not None:
                yield task, sample
                streams.append((task, samples))

    def _table(self) -> Table:
        table = Table("truth", "prediction", "confidence", "latency", "", caption=self._progress_text(), min_width=95)
        for result in self._results:
            style = {"right": "green", "rewarded": "green", "corrected": "yellow"}.get(result.status, "red")
            table.add_row(*map(Text, result.cells), style=style)
        return table

    def _progress_text(self) -> str:
        return "\n".join(f"{name}: {tally}" for name, tally in self.tallies.items())

    def _summary(self, trickle_seconds: float) -> str:
        task = next(iter(self._tasks))
        command = (
            "hindsight" if shutil.which("hindsight") else os.path.relpath(Path(sys.executable).parent / "hindsight")
        )
        places = {
            self._url: "the latest answers, the state and the score of each task",
            f"{self._url}/review": "review predictions yourself",
            f"{self._url}/docs": "try the API",
            f"{self._url}/readyz": "the readiness and the lag of each part",
            f"{self._url}/metrics": "counters and latencies, for Prometheus",
            f"{command} send {task} FILE": "get a prediction for your file",
            f"{command} feedback ID --correction JSON": "send the correct output",
            f"kcat -b {self._settings.bootstrap} -t {topics.predictions(task)} -o -5 -e": "the last answers in the log",
            f"{self._settings.home / 'logs'}": "the log of each process",
        }
        width = max(map(len, places))
        lines = ["", self._progress_text(), "", "Some of the answers:"]
        for name in self._tasks:
            if (example := self._examples.get(name)) is not None:
                lines += [f"  {name}: {example.text}", f"    {self._url}/review?task={name}&id={example.prediction_id}"]
        lines += ["", "Where to look next:"]
        lines += [f"  {place:{width}}  {description}" for place, description in places.items()]
        lines += [
            "",
            f"A sample follows every {trickle_seconds:g} s until Ctrl-C. HINDSIGHT_DEMO=0 turns the demonstration off.",
        ]
        return "\n".join(lines)


def _output_text(output: Mapping[str, Any]) -> str:
    """Return an output as text that fits into the table: of several lines the first, with their number."""
    match output:
        case {"boxes": []}:
            text = "nothing"
        case _:
            text = summarize_output(output)
    head, mark, lines = text.rpartition(" … (")
    room = MAX_CELL_WIDTH - len(mark + lines)
    if mark and len(head) > room:
        return f"{head[:room]}{mark}{lines}"
    return text if len(text) <= MAX_CELL_WIDTH else f"{text[: MAX_CELL_WIDTH - 1]}…"
