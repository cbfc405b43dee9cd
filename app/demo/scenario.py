"""`hindsight demo loop`: the learning loop as a story, on a platform of its own, and without a hand.

1. The usual traffic: the champion's reference becomes known.
2. A new source joins, which the champion is bad at. Quality falls, a trigger fires, and a run builds a dataset, trains
   and passes the gate; its candidate goes from shadow to canary to champion, and quality is back.
3. A spoilt version is forced past the gate, into canary. The platform takes it back by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.demo.faulty_version import force
from app.demo.timeline import Noted, chronicle
from app.demo.traffic import Answered, Traffic, mean
from app.embedded import ports
from app.embedded.readiness import api_url
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.registry.registry import Models
from app.registry.subscription import read
from app.settings import Settings, TaskSettings
from app.system import api_tls
from models.base import Task

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
NEW_SHARE = 0.5
BAD_SHARE = 0.25
_POLL_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How fast the story goes: what takes hours in production takes seconds here."""

    per_second: float = 12.0
    window_seconds: float = 30.0
    """Of the windows that quality is judged by."""
    feedback_seconds: float = 5.0
    """How long feedback of a window is waited for: on a busy machine it is recorded late."""
    answers: int = 150
    """Least answers of each step of a rollout."""
    step_seconds: float = 20.0
    """Least length of such a step."""
    longest_seconds: float = 60.0
    """The longest: on a busy machine evidence comes late."""
    patience_seconds: float = 900.0
    """How long each chapter is waited for."""

    @property
    def rules(self) -> TaskSettings:
        """The task's settings: what differs from production's is the times, and how many answers are enough."""
        minute = 60.0
        retraining: Mapping[str, Any] = {
            "window_minutes": self.window_seconds / minute,
            "feedback_minutes": self.feedback_seconds / minute,
            "triggers": {
                "volume": None,
                "drift": None,
                "quality_least_labelled": 50,
                "quality_least_answered": 0.5,
                "cooldown_seconds": self.window_seconds,
            },
            "gate": {"outcomes": 20, "latency_ratio": 5},
            "rollout": {
                "shadow_answers": self.answers,
                "answers": self.answers // 2,
                "shares": (0.25, 0.5),
                "minutes": self.step_seconds / minute,
                "longest_minutes": self.longest_seconds / minute,
                "latency_ratio": 20,
            },
        }
        return TaskSettings.model_validate({"all_are_judged": True, "retraining": retraining})


@dataclass(frozen=True)
class Story:
    """What was seen."""

    task: str
    answered: Sequence[Answered]
    unanswered: int
    events: Sequence[Noted]
    usual: float
    """The mean score before the new source."""
    fallen: float
    """With the new source, until another version was the champion."""
    regained: float
    """Since the last promotion."""
    champion: str
    bad: str
    """The spoilt version."""
    bad_answers: int
    """How many requests it answered."""
    bad_share: float
    """Their share of all requests between its first answer and its last."""
    seconds: float
    """From the start of the platform to the end."""

    @property
    def recovered(self) -> float:
        """The share of the lost score that is regained."""
        return (self.regained - self.fallen) / (self.usual - self.fallen)

    @property
    def holds(self) -> bool:
        """Whether half of the loss is regained, and the spoilt version answered no more than its share and chance."""
        chance = 4 * (BAD_SHARE * (1 - BAD_SHARE) / max(1.0, self.bad_answers / max(self.bad_share, 1e-9))) ** 0.5
        return self.recovered >= 0.5 and self.bad_share <= BAD_SHARE + chance and not self.unanswered


@dataclass
class _Stage:
    """The platform while the story goes on."""

    settings: Settings
    task: Task
    traffic: Traffic
    pace: Pace
    say: Say
    marks: list[Noted] = field(default_factory=list)
    told: int = 0
    """How many events of the log were said."""

    async def until(self, what: str, done: Callable[[], Awaitable[Any]]) -> Any:
        """What is true at last. Raises `SetupError` when it takes too long."""
        began = told = time.monotonic()
        while not (found := await done()):
            await self.tell_events()
            if time.monotonic() - began > self.pace.patience_seconds:
                raise SetupError(f"{what}: not within {self.pace.patience_seconds:g} s.", "Is the machine busy?")
            if time.monotonic() - told > self.pace.window_seconds:
                told = time.monotonic()
                latest = self.since(time.time() - self.pace.window_seconds)
                self.say(f"  {what}: score {mean(latest):.3f} over {len(latest)} answers")
            await asyncio.sleep(_POLL_SECONDS)
        await self.tell_events()
        return found

    async def tell_events(self) -> None:
        """Say what the log has said since the last time."""
        events = await chronicle(self.settings, self.task.name)
        for event in events[self.told :]:
            self.say(f"  {event.title}: {event.detail}" if event.detail else f"  {event.title}")
        self.told = len(events)

    def mark(self, title: str, detail: str = "") -> float:
        """Note a moment; its time."""
        self.marks.append(Noted(time.time(), title, detail))
        self.say(f"{title}. {detail}".strip())
        return self.marks[-1].time

    def since(self, moment: float, until: float = float("inf")) -> list[Answered]:
        """What was asked from a moment on."""
        return [one for one in self.traffic.answered if moment <= one.time < until]

    async def models(self) -> Models:
        """The registry of now."""
        return (await read(self.settings, [self.task])).tasks[self.task.name]

    async def triggers(self) -> list[dict[str, Any]]:
        """What each trigger sees."""
        url, verify = api_url(self.settings), api_tls.verify(self.settings)
        async with httpx.AsyncClient(base_url=url, verify=verify, trust_env=False, timeout=30) as http:
            answer = await http.get(f"/v1/retraining/{self.task.name}/triggers")
        return list(answer.raise_for_status().json()["triggers"])


async def tell(settings: Settings, task: Task, home: Path, pace: Pace, seed: int, say: Say) -> Story:
    """The story, on a platform in the directory `home`. Raises `SetupError`."""
    began = time.monotonic()
    config = settings.model_copy(
        update={
            **dict(zip(ports.OWNERS, ports.free_ports(len(ports.OWNERS)), strict=True)),
            "home": home,
            "tasks": {task.name: settings.tasks[task.name]},
            "task_settings": {task.name: pace.rules},
            "kafka_bootstrap": "",
            "retraining_seconds": 1.0,
            "archive_seconds": 1.0,
        }
    )
    traffic = Traffic(config, task, pace.per_second, seed)
    async with _platform(config, say):
        stage = _Stage(config, task, traffic, pace, say)
        asking = asyncio.create_task(traffic.run())
        try:
            telling = asyncio.create_task(_chapters(stage, seed))
            await asyncio.wait((asking, telling), return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                telling.cancel()
                asking.result()
            found = await telling
            events = await chronicle(config, task.name)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    return Story(
        task=task.name,
        answered=traffic.answered,
        unanswered=traffic.unanswered,
        events=sorted([*events, *stage.marks], key=lambda one: one.time),
        seconds=time.monotonic() - began,
        **found,
    )


@asynccontextmanager
async def _platform(config: Settings, say: Say) -> AsyncIterator[None]:
    supervisor = Supervisor(config, only=PROCESSES)
    try:
        await supervisor.start()
        say(f"The platform is ready after {await supervisor.wait_ready(300):.0f} s.")
        yield
    finally:
        await supervisor.stop()


async def _chapters(stage: _Stage, seed: int) -> dict[str, Any]:
    began = stage.mark("usual traffic", "What the champion is worth becomes known.")
    await stage.until("usual traffic", lambda: _reference_known(stage))
    usual = mean(stage.since(began))

    drifted = stage.mark("a new source", f"{NEW_SHARE:.0%} of the requests come from it. The usual score: {usual:.3f}.")
    stage.traffic.new_share = NEW_SHARE
    promoted = await stage.until("with the new source", lambda: _promoted(stage))
    fallen = mean(stage.since(drifted, promoted))
    stage.mark("a new champion", f"The score had fallen to {fallen:.3f}.")

    # Another run follows by itself where the first one's champion is not as good as it was expected to be.
    await stage.until("with the new champion", lambda: _regained(stage, usual, fallen))
    since = (await stage.models()).champion_since.timestamp()
    regained = mean(stage.since(since))
    bad = await force(stage.settings, stage.task, seed, BAD_SHARE)
    stage.mark("a spoilt canary", f"Version {bad} gets {BAD_SHARE:.0%} of the requests, past the gate.")
    await stage.until("with the spoilt canary", lambda: _without_canary(stage))
    stage.mark("taken back", f"Version {bad} has lost its share.")
    await asyncio.sleep(2 * _POLL_SECONDS)  # what it was asked last is answered
    served = [one.version for one in stage.traffic.answered]
    answers = served.count(bad)
    during = served[served.index(bad) : len(served) - served[::-1].index(bad)] if answers else []
    return {
        "usual": usual,
        "fallen": fallen,
        "regained": regained,
        "champion": (await stage.models()).route.champion,
        "bad": bad,
        "bad_answers": answers,
        "bad_share": answers / len(during) if during else 0.0,
    }


async def _reference_known(stage: _Stage) -> bool:
    said = await stage.triggers()
    return any(one["trigger"] == "quality" and "the champion's reference" not in one["bound"] for one in said)


async def _promoted(stage: _Stage) -> float | None:
    """When a run's candidate became the champion."""
    models = await stage.models()
    failed = [one.ended for one in models.runs.values() if one.ended and one.ended.outcome == "failed"]
    if failed:
        raise SetupError(f"A run failed: {failed[0].reason}", f"Its log: {stage.settings.home / 'runs'}")
    return next((one.time.timestamp() for one in models.changes if one.said.action == "promote"), None)


async def _regained(stage: _Stage, usual: float, fallen: float) -> bool:
    """Whether the champion of now has answered for two windows, and half of what was lost is back."""
    since = (await stage.models()).champion_since.timestamp()
    enough = time.time() - since > 2 * stage.pace.window_seconds
    return enough and mean(stage.since(since)) >= (usual + fallen) / 2


async def _without_canary(stage: _Stage) -> bool:
    return (await stage.models()).route.canary is None
