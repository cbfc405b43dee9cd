"""A shop with a scale that goes wrong, and what the API says of the loop that puts it right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import httpx

from app.embedded.readiness import api_url
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
        "gate": {"min_outcomes": 10, "max_latency_ratio": 5},
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
"""No run begins but by hand."""
REQUESTS_PER_SECOND = 30


class ScaleShop:
    """Weighs things, and says of each what it really weighed.

    `off` is by how much a second scale shows too little, which every second thing is on; None while there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.second_scale_error: float | None = None
        self.weight_shift = 0.0
        """By how much things are heavier than they were."""
        self.is_open = True
        self.gives_feedback = True
        """Whether it says what it weighed."""

    async def run(self) -> None:
        for batch in takewhile(lambda _: self.is_open, count()):
            requests, feedback = [], []
            for number in range(batch * REQUESTS_PER_SECOND // 2, (batch + 1) * REQUESTS_PER_SECOND // 2):
                reading, request_id = float(number % 50) + self.weight_shift, f"sale-{number}"
                which, off = (
                    (0, 0.0)
                    if self.second_scale_error is None
                    else (number % 2, self.second_scale_error * (number % 2))
                )
                headers = (("ce_id", request_id.encode()), ("ce_source", b"shop"))
                requests.append(OutgoingRecord(f"{which} {reading}".encode(), request_id.encode(), headers))
                given = FeedbackGiven(
                    task="scales",
                    request_id=request_id,
                    request_source="shop",
                    correction={"weight": reading + off},
                    actor="ada",
                )
                feedback.append(OutgoingRecord(given.model_dump_json().encode(), given.task_and_prediction[1].encode()))
            await publish(self._settings, topics.requests("scales"), requests)
            if self.gives_feedback:
                await publish(self._settings, topics.feedback("scales"), feedback)
            await asyncio.sleep(0.5)


class LoopApi:
    """What the API says of the loop."""

    def __init__(self, settings: Settings) -> None:
        self._url = api_url(settings)

    async def start_run(self) -> str:
        """Begin a run by hand; its id."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            answer = await http.post("/v1/retraining/scales", json={"actor": "test"})
        return str(answer.raise_for_status().json()["run_id"])

    async def find_ended_run(self, run_id: str) -> dict[str, Any] | None:
        """A run, once it is over; also while the API is away."""
        with suppress(httpx.HTTPError):
            return next(
                (
                    one
                    for one in (await self._get("/v1/retraining"))["runs"]
                    if one["run_id"] == run_id and one["outcome"]
                ),
                None,
            )
        return None

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            return (await http.get(path)).raise_for_status().json()

    async def has_reference(self) -> bool:
        """Whether there is a score to compare with."""
        said = (await self._get("/v1/retraining/scales/triggers"))["triggers"]
        return any(one["trigger"] == "quality" and "the champion's reference" not in one["bound"] for one in said)

    async def last_ended_run(self) -> dict[str, Any] | None:
        """The last run that is over."""
        return next((run for run in (await self._get("/v1/retraining"))["runs"] if run["outcome"]), None)

    async def read_route(self) -> dict[str, Any]:
        """The route of now."""
        [found] = (await self._get("/v1/models"))["models"]
        return dict(found["route"])

    async def has_no_canary(self) -> bool:
        """Whether the canary has gone."""
        return (await self.read_route())["canary"] is None


async def wait_until(condition: Callable[[], Awaitable[Any]], seconds: float = 240) -> Any:
    """What is true at last."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.5)
    return found


@asynccontextmanager
async def run_shop(settings: Settings) -> AsyncIterator[ScaleShop]:
    """A shop that trades for as long as the block lasts."""
    shop = ScaleShop(settings)
    going = asyncio.create_task(shop.run())
    try:
        yield shop
    finally:
        shop.is_open = False
        await going


@asynccontextmanager
async def run_drifted_shop(settings: Settings) -> AsyncIterator[None]:
    """Trade with a second scale that is off, which goes on for as long as the block lasts."""
    async with run_shop(settings) as shop:
        shop.second_scale_error = 5.0
        await asyncio.sleep(10)  # of trade; what the log has then is what is learned from
        yield


@asynccontextmanager
async def run_platform(
    directory: Path, extra_settings: Mapping[str, Any] | None = None, **retraining: Any
) -> AsyncIterator[Stack]:
    """The whole platform with the task `scales` alone, little patience, and also these settings."""
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
