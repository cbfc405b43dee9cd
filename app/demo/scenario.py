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

from app.demo.faulty_version import deploy_faulty_version
from app.demo.timeline import TimelineEvent, read_timeline
from app.demo.traffic import AnsweredRequest, TrafficGenerator, mean_score
from app.embedded import ports
from app.embedded.readiness import api_url
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.registry.registry import TaskModels
from app.registry.subscription import read_registry
from app.settings import Settings, TaskSettings
from app.system import api_tls
from models.base import Task

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
NEW_SOURCE_SHARE = 0.5
FAULTY_SHARE = 0.25
_POLL_SECONDS = 1.0

PrintLine = Callable[[str], None]


@dataclass(frozen=True)
class ScenarioTiming:
    """How fast the story goes: what takes hours in production takes seconds here."""

    requests_per_second: float = 12.0
    window_seconds: float = 30.0
    """Of the windows that quality is judged by."""
    feedback_seconds: float = 5.0
    """How long feedback of a window is waited for: on a busy machine it is recorded late."""
    min_answers: int = 150
    """Least answers of each step of a rollout."""
    min_step_seconds: float = 20.0
    """Least length of such a step."""
    max_step_seconds: float = 60.0
    """The longest: on a busy machine evidence comes late."""
    timeout_seconds: float = 900.0
    """How long each chapter is waited for."""

    @property
    def task_settings(self) -> TaskSettings:
        """The task's settings: what differs from production's is the times, and how many answers are enough."""
        minute = 60.0
        retraining: Mapping[str, Any] = {
            "window_minutes": self.window_seconds / minute,
            "feedback_wait_minutes": self.feedback_seconds / minute,
            "triggers": {
                "min_new_labels": None,
                "drift_windows": None,
                "quality_min_labelled": 50,
                "quality_min_answered_share": 0.5,
                "cooldown_seconds": self.window_seconds,
            },
            "gate": {"min_outcomes": 20, "max_latency_ratio": 5},
            "rollout": {
                "min_shadow_answers": self.min_answers,
                "min_answers": self.min_answers // 2,
                "canary_shares": (0.25, 0.5),
                "min_minutes": self.min_step_seconds / minute,
                "max_minutes": self.max_step_seconds / minute,
                "max_latency_ratio": 20,
            },
        }
        return TaskSettings.model_validate({"full_feedback": True, "retraining": retraining})


@dataclass(frozen=True)
class ScenarioResult:
    """What was seen."""

    task: str
    requests: Sequence[AnsweredRequest]
    unanswered: int
    events: Sequence[TimelineEvent]
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
    def is_successful(self) -> bool:
        """Whether half of the loss is regained, and the spoilt version answered no more than its share and chance."""
        chance = 4 * (FAULTY_SHARE * (1 - FAULTY_SHARE) / max(1.0, self.bad_answers / max(self.bad_share, 1e-9))) ** 0.5
        return self.recovered >= 0.5 and self.bad_share <= FAULTY_SHARE + chance and not self.unanswered


@dataclass
class _Scenario:
    """The platform while the story goes on."""

    settings: Settings
    task: Task
    traffic: TrafficGenerator
    timing: ScenarioTiming
    print_line: PrintLine
    milestones: list[TimelineEvent] = field(default_factory=list)
    printed_count: int = 0
    """How many events of the log were said."""

    async def wait_for(self, description: str, condition: Callable[[], Awaitable[Any]]) -> Any:
        """What is true at last. Raises `SetupError` when it takes too long."""
        began = told = time.monotonic()
        while not (found := await condition()):
            await self.print_new_events()
            if time.monotonic() - began > self.timing.timeout_seconds:
                raise SetupError(
                    f"{description}: not within {self.timing.timeout_seconds:g} s.", "Is the machine busy?"
                )
            if time.monotonic() - told > self.timing.window_seconds:
                told = time.monotonic()
                latest = self.answered_between(time.time() - self.timing.window_seconds)
                self.print_line(f"  {description}: score {mean_score(latest):.3f} over {len(latest)} answers")
            await asyncio.sleep(_POLL_SECONDS)
        await self.print_new_events()
        return found

    async def print_new_events(self) -> None:
        """Say what the log has said since the last time."""
        events = await read_timeline(self.settings, self.task.name)
        for event in events[self.printed_count :]:
            self.print_line(f"  {event.title}: {event.detail}" if event.detail else f"  {event.title}")
        self.printed_count = len(events)

    def add_milestone(self, title: str, detail: str = "") -> float:
        """Note a moment; its time."""
        self.milestones.append(TimelineEvent(time.time(), title, detail))
        self.print_line(f"{title}. {detail}".strip())
        return self.milestones[-1].time

    def answered_between(self, start: float, end: float = float("inf")) -> list[AnsweredRequest]:
        """What was asked from a moment on."""
        return [one for one in self.traffic.answered if start <= one.time < end]

    async def read_models(self) -> TaskModels:
        """The registry of now."""
        return (await read_registry(self.settings, [self.task])).tasks[self.task.name]

    async def read_triggers(self) -> list[dict[str, Any]]:
        """What each trigger sees."""
        url, verify = api_url(self.settings), api_tls.client_verification(self.settings)
        async with httpx.AsyncClient(base_url=url, verify=verify, trust_env=False, timeout=30) as http:
            answer = await http.get(f"/v1/retraining/{self.task.name}/triggers")
        return list(answer.raise_for_status().json()["triggers"])


async def run_scenario(
    settings: Settings, task: Task, home: Path, timing: ScenarioTiming, seed: int, print_line: PrintLine
) -> ScenarioResult:
    """The story, on a platform in the directory `home`. Raises `SetupError`."""
    began = time.monotonic()
    config = settings.model_copy(
        update={
            **dict(zip(ports.PROCESS_BY_SETTING, ports.free_ports(len(ports.PROCESS_BY_SETTING)), strict=True)),
            "home": home,
            "tasks": {task.name: settings.tasks[task.name]},
            "task_settings": {task.name: timing.task_settings},
            "kafka_bootstrap": "",
            "retraining_seconds": 1.0,
            "archive_seconds": 1.0,
        }
    )
    traffic = TrafficGenerator(config, task, timing.requests_per_second, seed)
    async with _run_platform(config, print_line):
        stage = _Scenario(config, task, traffic, timing, print_line)
        asking = asyncio.create_task(traffic.run())
        try:
            telling = asyncio.create_task(_run_phases(stage, seed))
            await asyncio.wait((asking, telling), return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                telling.cancel()
                asking.result()
            found = await telling
            events = await read_timeline(config, task.name)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    return ScenarioResult(
        task=task.name,
        requests=traffic.answered,
        unanswered=traffic.unanswered,
        events=sorted([*events, *stage.milestones], key=lambda one: one.time),
        seconds=time.monotonic() - began,
        **found,
    )


@asynccontextmanager
async def _run_platform(config: Settings, print_line: PrintLine) -> AsyncIterator[None]:
    supervisor = Supervisor(config, only=PROCESSES)
    try:
        await supervisor.start()
        print_line(f"The platform is ready after {await supervisor.wait_ready(300):.0f} s.")
        yield
    finally:
        await supervisor.stop()


async def _run_phases(scenario: _Scenario, seed: int) -> dict[str, Any]:
    began = scenario.add_milestone("usual traffic", "What the champion is worth becomes known.")
    await scenario.wait_for("usual traffic", lambda: _is_reference_known(scenario))
    usual = mean_score(scenario.answered_between(began))

    drifted = scenario.add_milestone(
        "a new source", f"{NEW_SOURCE_SHARE:.0%} of the requests come from it. The usual score: {usual:.3f}."
    )
    scenario.traffic.new_share = NEW_SOURCE_SHARE
    promoted = await scenario.wait_for("with the new source", lambda: _promotion_time(scenario))
    fallen = mean_score(scenario.answered_between(drifted, promoted))
    scenario.add_milestone("a new champion", f"The score had fallen to {fallen:.3f}.")

    # Another run follows by itself where the first one's champion is not as good as it was expected to be.
    await scenario.wait_for("with the new champion", lambda: _is_quality_regained(scenario, usual, fallen))
    since = (await scenario.read_models()).champion_since.timestamp()
    regained = mean_score(scenario.answered_between(since))
    bad = await deploy_faulty_version(scenario.settings, scenario.task, seed, FAULTY_SHARE)
    scenario.add_milestone("a spoilt canary", f"Version {bad} gets {FAULTY_SHARE:.0%} of the requests, past the gate.")
    await scenario.wait_for("with the spoilt canary", lambda: _has_no_canary(scenario))
    scenario.add_milestone("taken back", f"Version {bad} has lost its share.")
    await asyncio.sleep(2 * _POLL_SECONDS)  # what it was asked last is answered
    served = [one.version for one in scenario.traffic.answered]
    answers = served.count(bad)
    during = served[served.index(bad) : len(served) - served[::-1].index(bad)] if answers else []
    return {
        "usual": usual,
        "fallen": fallen,
        "regained": regained,
        "champion": (await scenario.read_models()).route.champion,
        "bad": bad,
        "bad_answers": answers,
        "bad_share": answers / len(during) if during else 0.0,
    }


async def _is_reference_known(scenario: _Scenario) -> bool:
    said = await scenario.read_triggers()
    return any(one["trigger"] == "quality" and "the champion's reference" not in one["bound"] for one in said)


async def _promotion_time(scenario: _Scenario) -> float | None:
    """When a run's candidate became the champion."""
    models = await scenario.read_models()
    failed = [one.ended for one in models.runs.values() if one.ended and one.ended.outcome == "failed"]
    if failed:
        raise SetupError(f"A run failed: {failed[0].reason}", f"Its log: {scenario.settings.home / 'runs'}")
    return next((one.time.timestamp() for one in models.changes if one.event.action == "promote"), None)


async def _is_quality_regained(scenario: _Scenario, usual: float, fallen: float) -> bool:
    """Whether the champion of now has answered for two windows, and half of what was lost is back."""
    since = (await scenario.read_models()).champion_since.timestamp()
    enough = time.time() - since > 2 * scenario.timing.window_seconds
    return enough and mean_score(scenario.answered_between(since)) >= (usual + fallen) / 2


async def _has_no_canary(scenario: _Scenario) -> bool:
    return (await scenario.read_models()).route.canary is None
