"""A shop with a scale that becomes inaccurate, and the API of the retraining loop that corrects it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import httpx

from app.embedded.api_readiness import api_url
from app.events import topics
from app.events.types import FeedbackGiven
from app.settings import Settings, TaskSettings
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")

TASK_RULES: dict[str, Any] = {
    "full_feedback": True,
    "retraining": {
        "window_minutes": 0.1,
        "feedback_wait_minutes": 0.05,
        "triggers": {
            "min_new_labels": None,
            "drift_windows": None,
            "quality_min_labelled": 40,
            "quality_min_answered_share": 0.5,
            "cooldown_seconds": 600,
        },
        "gate": {"min_outcomes": 10, "unseen_loss": 0.0, "max_latency_ratio": 5},
        "rollout": {
            "min_shadow_answers": 30,
            "min_answers": 10,
            "canary_shares": [0.25],
            "min_minutes": 0.05,
            "max_minutes": 0.15,
            "max_latency_ratio": 20,
        },
    },
}
MANUAL_TRIGGERS: dict[str, Any] = {"triggers": {"min_new_labels": None, "quality_alpha": None, "drift_windows": None}}
"""Only manual runs start."""
REQUESTS_PER_SECOND = 30


class ScaleShop:
    """A shop that weighs things, and sends each true weight as a correction.

    Every second thing is on a second scale, which shows `second_scale_error` too little; None if there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.second_scale_error: float | None = None
        self.weight_shift = 0.0
        """How much heavier things are than at first."""
        self.is_open = True
        self.gives_feedback = True
        """Whether it sends corrections."""

    async def run(self) -> None:
        """Publish requests and corrections until the shop closes."""
        for batch in takewhile(lambda _: self.is_open, count()):
            requests, corrections = [], []
            for number in range(batch * REQUESTS_PER_SECOND // 2, (batch + 1) * REQUESTS_PER_SECOND // 2):
                reading, request_id = float(number % 50) + self.weight_shift, f"sale-{number}"
                scale = 0 if self.second_scale_error is None else number % 2
                error = scale * (self.second_scale_error or 0.0)
                headers = (("ce_id", request_id.encode()), ("ce_source", b"shop"))
                requests.append(OutgoingRecord(f"{scale} {reading}".encode(), request_id.encode(), headers))
                feedback = FeedbackGiven(
                    task="scales",
                    request_id=request_id,
                    request_source="shop",
                    correction={"weight": reading + error},
                    actor="ada",
                )
                key = feedback.task_and_prediction[1].encode()
                corrections.append(OutgoingRecord(feedback.model_dump_json().encode(), key))
            await publish(self._settings, topics.requests("scales"), requests)
            if self.gives_feedback:
                await publish(self._settings, topics.feedback("scales"), corrections)
            await asyncio.sleep(0.5)


class LoopApi:
    """The API of the retraining loop."""

    def __init__(self, settings: Settings) -> None:
        self._url = api_url(settings)

    async def start_run(self) -> str:
        """Start a run manually; return its id."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            answer = await http.post("/v1/retraining/scales", json={"actor": "test"})
        return str(answer.raise_for_status().json()["run_id"])

    async def find_ended_run(self, run_id: str) -> dict[str, Any] | None:
        """Return a run if it has ended; None as well if the API is unavailable."""
        with suppress(httpx.HTTPError):
            runs = (await self._get("/v1/retraining"))["runs"]
            return next((run for run in runs if run["run_id"] == run_id and run["outcome"]), None)
        return None

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            return (await http.get(path)).raise_for_status().json()

    async def has_reference(self) -> bool:
        """Return whether the quality trigger has a reference score."""
        triggers = (await self._get("/v1/retraining/scales/triggers"))["triggers"]
        return any(
            trigger["trigger"] == "quality" and "the champion's reference" not in trigger["bound"]
            for trigger in triggers
        )

    async def last_ended_run(self) -> dict[str, Any] | None:
        """Return the last run that has ended."""
        return next((run for run in (await self._get("/v1/retraining"))["runs"] if run["outcome"]), None)

    async def read_route(self) -> dict[str, Any]:
        """Return the present route."""
        [task] = (await self._get("/v1/models"))["models"]
        return dict(task["route"])

    async def has_no_canary(self) -> bool:
        """Return whether there is no canary."""
        return (await self.read_route())["canary"] is None


async def wait_until(condition: Callable[[], Awaitable[Any]], seconds: float = 240) -> Any:
    """Wait until the condition is true; return its value."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):
            await asyncio.sleep(0.5)
    return value


@asynccontextmanager
async def run_shop(settings: Settings) -> AsyncIterator[ScaleShop]:
    """Run a shop for as long as the block lasts."""
    shop = ScaleShop(settings)
    running = asyncio.create_task(shop.run())
    try:
        yield shop
    finally:
        shop.is_open = False
        await running


@asynccontextmanager
async def run_drifted_shop(settings: Settings) -> AsyncIterator[None]:
    """Run a shop with a second, inaccurate scale for as long as the block lasts."""
    async with run_shop(settings) as shop:
        shop.second_scale_error = 5.0
        await asyncio.sleep(10)  # the log of these seconds is the dataset
        yield


@asynccontextmanager
async def run_platform(
    directory: Path, extra_settings: Mapping[str, Any] | None = None, **retraining: Any
) -> AsyncIterator[Stack]:
    """Run the whole platform with the task `scales` alone, short times, and these settings."""
    rules = TASK_RULES | {"retraining": TASK_RULES["retraining"] | retraining}
    values: dict[str, Any] = {
        "tasks": {"scales": "tests.support.scales:Scales"},
        "task_settings": {"scales": TaskSettings.model_validate(rules)},
        "retraining_seconds": 0.5,
        "archive_seconds": 1.0,
    }
    config = platform_settings(directory, **(values | dict(extra_settings or {})))
    async with run_processes(config, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        yield Stack(config, supervisor)
