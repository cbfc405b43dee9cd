"""The loop by itself: quality falls, a run is triggered, its candidate comes to serve; a bad canary is taken back."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import ConsumerRecord

from app import topics
from app.embedded.ready import api_url
from app.events import FeedbackGiven
from app.settings import Settings, TaskSettings
from tests.support.commands import command
from tests.support.log import Sent, publish, tail
from tests.support.platform import platform_settings, running
from tests.support.scales import scale

RULES = {
    "all_are_judged": True,
    "retraining": {
        "window_minutes": 0.1,
        "feedback_minutes": 0.05,
        "window_days": 6 / 86_400,
        "triggers": {
            "volume": None,
            "drift": None,
            "quality_least_labelled": 40,
            "quality_least_answered": 0.5,
            "cooldown_seconds": 600,
        },
        "gate": {"outcomes": 10, "latency_ratio": 5},
        "rollout": {
            "shadow_answers": 30,
            "answers": 10,
            "shares": [0.25],
            "minutes": 0.05,
            "longest_minutes": 0.15,
            "latency_ratio": 20,
        },
    },
}
RATE = 30


class Shop:
    """Weighs things, and says of each what it really weighed. `off` is by how much its scale shows too little."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.off = 0.0

    async def trade(self) -> None:
        for batch in count():
            requests, feedback = [], []
            for number in range(batch * RATE // 2, (batch + 1) * RATE // 2):
                reading, request_id = float(number % 50), f"sale-{number}"
                headers = (("ce_id", request_id.encode()), ("ce_source", b"shop"))
                requests.append(Sent(str(reading).encode(), request_id.encode(), headers))
                given = FeedbackGiven(
                    task="scales",
                    request_id=request_id,
                    request_source="shop",
                    correction={"weight": reading + self.off},
                    actor="ada",
                )
                feedback.append(Sent(given.model_dump_json().encode(), given.about[1].encode()))
            await publish(self._settings, topics.requests("scales"), requests)
            await publish(self._settings, topics.feedback("scales"), feedback)
            await asyncio.sleep(0.5)


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    config = platform_settings(
        tmp_path,
        tasks={"scales": "tests.support.scales:Scales"},
        task_settings={"scales": TaskSettings.model_validate(RULES)},
        retraining_seconds=0.5,
        archive_seconds=1.0,
    )
    async with running(
        config, only=("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
    ) as all_:
        await all_.wait_ready(180)
        yield config


class Api:
    """What the API says of the loop."""

    def __init__(self, settings: Settings) -> None:
        self._url = api_url(settings)

    async def _get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=30) as http:
            return (await http.get(path)).raise_for_status().json()

    async def knows_what_is_usual(self) -> bool:
        """Whether there is a score to compare with."""
        said = (await self._get("/v1/retraining/scales/triggers"))["triggers"]
        return any(one["trigger"] == "quality" and "the champion's reference" not in one["bound"] for one in said)

    async def ended_run(self) -> dict[str, Any] | None:
        """The last run that is over."""
        return next((run for run in (await self._get("/v1/retraining"))["runs"] if run["outcome"]), None)

    async def route(self) -> dict[str, Any]:
        """The route of now."""
        [found] = (await self._get("/v1/models"))["models"]
        return dict(found["route"])

    async def without_canary(self) -> bool:
        """Whether the canary has gone."""
        return (await self.route())["canary"] is None


def by(records: Sequence[ConsumerRecord]) -> list[str]:
    """The version of each answer."""
    return [json.loads(one.value)["model"]["version"] for one in records]


async def models(settings: Settings, *words: object) -> None:
    """Run `hindsight models`."""
    done = await command(settings, sys.executable, "-m", "app.cli", "models", *map(str, words))
    assert done.code == 0, done.err


async def until(done: Callable[[], Awaitable[Any]], seconds: float = 240) -> Any:
    """What is true at last."""
    async with asyncio.timeout(seconds):
        while not (found := await done()):
            await asyncio.sleep(0.5)
    return found


async def test_the_loop_mends_what_fell_and_takes_back_what_is_worse(settings: Settings, tmp_path: Path) -> None:
    shop, api = Shop(settings), Api(settings)
    async with asyncio.TaskGroup() as group:
        trading = group.create_task(shop.trade())
        await until(api.knows_what_is_usual)
        shop.off = 5.0
        run = await until(api.ended_run)
        assert (run["trigger"], run["outcome"], run["version"]) == ("quality", "promoted", "2"), run
        assert run["metrics"]["score_champion"] < 0.9 < run["metrics"]["score_candidate"]
        assert (await api.route())["champion"] == "2"

        (tmp_path / "bad.onnx").write_bytes(scale(-5.0))
        (tmp_path / "card.json").write_text("{}")
        await models(settings, "register", "scales", tmp_path / "bad.onnx", "--card", tmp_path / "card.json")
        async with tail(settings, topics.predictions("scales")) as answers:
            await models(settings, "canary", "scales", "3", "--share", "0.25")
            await until(api.without_canary)
            records = await answers.until(lambda found: "3" in by(found) and set(by(found)[-30:]) == {"2"})
        trading.cancel()
    served = by(records)
    during = served[served.index("3") : len(served) - served[::-1].index("3")]
    assert during.count("3") < 0.25 * len(during) + 4 * (0.25 * 0.75 * len(during)) ** 0.5
