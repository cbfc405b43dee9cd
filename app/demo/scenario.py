"""`hindsight demo loop`: the whole learning loop on a separate platform, without manual steps.

1. Baseline traffic: the platform measures the champion's reference quality.
2. A new source joins, on which the champion is bad. Quality falls and a trigger fires. A run builds a dataset, trains,
   and passes the gate. Its candidate goes from shadow to canary to champion, and quality recovers.
3. A faulty version is made the canary without a gate. The platform rolls it back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.demo.faulty_version import deploy_faulty_version
from app.demo.scenario_result import FAULTY_SHARE, ScenarioResult
from app.demo.timeline import TimelineEvent, read_timeline
from app.demo.traffic import AnsweredRequest, FeedbackKind, TrafficGenerator, mean_score
from app.embedded import ports
from app.embedded.api_readiness import api_url
from app.embedded.supervisor import Supervisor
from app.errors import SetupError
from app.registry.registry import TaskModels
from app.registry.subscription import read_registry
from app.settings import Settings, TaskSettings
from app.system import api_tls
from models.base import Task

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
NEW_SOURCE_SHARE = 0.5
_POLL_SECONDS = 1.0

PrintLine = Callable[[str], None]


@dataclass(frozen=True)
class ScenarioTiming:
    """The scenario's durations: seconds instead of the hours of production."""

    requests_per_second: float = 12.0
    window_seconds: float = 30.0
    """Length of the windows over which quality is measured."""
    feedback_seconds: float = 5.0
    """How long to wait for the feedback of a window: on a busy machine it is recorded late."""
    min_answers: int = 150
    """Minimum number of answers for a step of the rollout."""
    min_step_seconds: float = 20.0
    """Minimum duration of such a step."""
    max_step_seconds: float = 60.0
    """Maximum duration of such a step: on a busy machine evidence comes late."""
    timeout_seconds: float = 900.0
    """Timeout of each wait."""
    rewards: int = 4000
    """Number of rewards that start a run where people only reward."""

    def task_settings(self, feedback: FeedbackKind) -> TaskSettings:
        """Return the task's settings. They differ from production in durations and minimum numbers of answers."""
        minute = 60.0
        retraining: Mapping[str, Any] = {
            "window_minutes": self.window_seconds / minute,
            "feedback_wait_minutes": self.feedback_seconds / minute,
            "triggers": {
                "min_new_labels": self.rewards if feedback == "rewards" else None,
                "drift_windows": None,
                "quality_min_labelled": 50,
                "quality_min_answered_share": 0.5,
                "cooldown_seconds": self.window_seconds,
            },
            "gate": {"min_outcomes": 20, "unseen_loss": 0.0, "max_latency_ratio": 5},
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


@dataclass
class _Scenario:
    """A scenario that is running on its platform."""

    settings: Settings
    task: Task
    traffic: TrafficGenerator
    timing: ScenarioTiming
    print_line: PrintLine
    milestones: list[TimelineEvent] = field(default_factory=list)
    printed_count: int = 0
    """How many events of the log were printed."""

    async def wait_for(self, description: str, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until the condition returns a true value and return it. Raises `SetupError` after the timeout."""
        began = last_printed = time.monotonic()
        while not (value := await condition()):
            await self.print_new_events()
            if time.monotonic() - began > self.timing.timeout_seconds:
                raise SetupError(
                    f"{description}: not completed within {self.timing.timeout_seconds:g} s.",
                    "Try again on a machine that is less busy.",
                )
            if time.monotonic() - last_printed > self.timing.window_seconds:
                last_printed = time.monotonic()
                latest = self.answered_between(time.time() - self.timing.window_seconds)
                self.print_line(f"  {description}: score {mean_score(latest):.3f} over {len(latest)} answers")
            await asyncio.sleep(_POLL_SECONDS)
        await self.print_new_events()
        return value

    async def print_new_events(self) -> None:
        """Print the events that came into the log since the last call."""
        events = await read_timeline(self.settings, self.task.name)
        for event in events[self.printed_count :]:
            self.print_line(f"  {event.title}: {event.detail}" if event.detail else f"  {event.title}")
        self.printed_count = len(events)

    def add_milestone(self, title: str, detail: str = "") -> float:
        """Add and print a milestone. Return its time."""
        self.milestones.append(TimelineEvent(time.time(), title, detail))
        self.print_line(f"{title}. {detail}".strip())
        return self.milestones[-1].time

    def answered_between(self, start: float, end: float = float("inf")) -> list[AnsweredRequest]:
        """Return the answered requests that were sent in a period."""
        return [request for request in self.traffic.answered if start <= request.time < end]

    async def read_models(self) -> TaskModels:
        """Return the task's current entry of the registry."""
        return (await read_registry(self.settings, [self.task])).tasks[self.task.name]

    async def read_triggers(self) -> list[dict[str, Any]]:
        """Return the explanation of each trigger from the API."""
        url, verify = api_url(self.settings), api_tls.client_verification(self.settings)
        async with httpx.AsyncClient(base_url=url, verify=verify, trust_env=False, timeout=30) as http:
            response = await http.get(f"/v1/retraining/{self.task.name}/triggers")
        return list(response.raise_for_status().json()["triggers"])


async def run_scenario(
    settings: Settings,
    task: Task,
    home: Path,
    timing: ScenarioTiming,
    seed: int,
    print_line: PrintLine,
    feedback: FeedbackKind = "corrections",
) -> ScenarioResult:
    """Run the scenario on a platform in the directory `home`. Raises `SetupError`.

    To learn from rewards, the task must draw a share of its outputs, by its options in the settings.
    """
    began = time.monotonic()
    config = settings.model_copy(
        update={
            **dict(zip(ports.PROCESS_BY_SETTING, ports.free_ports(len(ports.PROCESS_BY_SETTING)), strict=True)),
            "home": home,
            "tasks": {task.name: settings.tasks[task.name]},
            "task_settings": {task.name: timing.task_settings(feedback)},
            "kafka_bootstrap": "",
            "retraining_seconds": 1.0,
            "archive_seconds": 1.0,
        }
    )
    traffic = TrafficGenerator(config, task, timing.requests_per_second, seed, feedback)
    async with _run_platform(config, print_line):
        scenario = _Scenario(config, task, traffic, timing, print_line)
        traffic_run = asyncio.create_task(traffic.run())
        try:
            phases = asyncio.create_task(_run_phases(scenario, seed))
            await asyncio.wait((traffic_run, phases), return_when=asyncio.FIRST_COMPLETED)
            if not phases.done():
                phases.cancel()
                traffic_run.result()
            measurements = await phases
            events = await read_timeline(config, task.name)
        finally:
            traffic_run.cancel()
            await asyncio.gather(traffic_run, return_exceptions=True)
    return ScenarioResult(
        task=task.name,
        requests=traffic.answered,
        unanswered=traffic.unanswered,
        events=sorted([*events, *scenario.milestones], key=lambda event: event.time),
        seconds=time.monotonic() - began,
        **measurements,
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
    began = scenario.add_milestone("baseline traffic", "The platform measures the champion's reference quality.")
    await scenario.wait_for("baseline traffic", lambda: _is_reference_known(scenario))
    baseline_score = mean_score(scenario.answered_between(began))

    drifted = scenario.add_milestone(
        "a new source",
        f"{NEW_SOURCE_SHARE:.0%} of the requests come from it. The baseline score: {baseline_score:.3f}.",
    )
    scenario.traffic.new_share = NEW_SOURCE_SHARE
    promoted = await scenario.wait_for("with the new source", lambda: _promotion_time(scenario))
    drifted_score = mean_score(scenario.answered_between(drifted, promoted))
    scenario.add_milestone("a new champion", f"The score had fallen to {drifted_score:.3f}.")

    # If the first run's champion is not as good as expected, another run follows.
    await scenario.wait_for(
        "with the new champion", lambda: _is_quality_regained(scenario, baseline_score, drifted_score)
    )
    since = (await scenario.read_models()).champion_since.timestamp()
    regained_score = mean_score(scenario.answered_between(since))
    faulty = await deploy_faulty_version(scenario.settings, scenario.task, seed, FAULTY_SHARE)
    scenario.add_milestone(
        "a faulty canary", f"Version {faulty} gets {FAULTY_SHARE:.0%} of the requests without a gate."
    )
    await scenario.wait_for("with the faulty canary", lambda: _has_no_canary(scenario))
    scenario.add_milestone("rolled back", f"Version {faulty} gets no more requests.")
    await asyncio.sleep(2 * _POLL_SECONDS)  # its last requests are answered
    versions = [request.version for request in scenario.traffic.answered]
    answers = versions.count(faulty)
    during = versions[versions.index(faulty) : len(versions) - versions[::-1].index(faulty)] if answers else []
    return {
        "baseline_score": baseline_score,
        "drifted_score": drifted_score,
        "regained_score": regained_score,
        "champion": (await scenario.read_models()).route.champion,
        "faulty_version": faulty,
        "faulty_answers": answers,
        "faulty_share": answers / len(during) if during else 0.0,
    }


async def _is_reference_known(scenario: _Scenario) -> bool:
    triggers = await scenario.read_triggers()
    return any(
        trigger["trigger"] == "quality" and "the champion's reference" not in trigger["bound"] for trigger in triggers
    )


async def _promotion_time(scenario: _Scenario) -> float | None:
    """Return when a run's candidate became the champion; None before."""
    models = await scenario.read_models()
    failed = [run.ended for run in models.runs.values() if run.ended and run.ended.outcome == "failed"]
    if failed:
        raise SetupError(f"A run failed: {failed[0].reason}", f"Read its log in {scenario.settings.home / 'runs'}.")
    return next((change.time.timestamp() for change in models.changes if change.event.action == "promote"), None)


async def _is_quality_regained(scenario: _Scenario, baseline_score: float, drifted_score: float) -> bool:
    """Return whether the champion has answered for two windows and half of the loss is regained."""
    since = (await scenario.read_models()).champion_since.timestamp()
    is_established = time.time() - since > 2 * scenario.timing.window_seconds
    score = mean_score(scenario.answered_between(since))
    return is_established and score >= (baseline_score + drifted_score) / 2


async def _has_no_canary(scenario: _Scenario) -> bool:
    return (await scenario.read_models()).route.canary is None
