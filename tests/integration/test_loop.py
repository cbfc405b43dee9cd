"""The loop by itself: quality falls, a run is triggered, its candidate comes to serve; a bad canary is taken back."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from app import topics
from app.settings import Settings
from tests.support.commands import command
from tests.support.log import tail
from tests.support.loop import Api, Shop, platform, until
from tests.support.scales import scale


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    async with platform(tmp_path) as stack:
        yield stack.settings


def by(records: Sequence[ConsumerRecord]) -> list[str]:
    """The version of each answer."""
    return [json.loads(one.value)["model"]["version"] for one in records]


async def models(settings: Settings, *words: object) -> None:
    """Run `hindsight models`."""
    done = await command(settings, sys.executable, "-m", "app.cli", "models", *map(str, words))
    assert done.code == 0, done.err


@pytest.mark.timeout(900)
async def test_the_loop_mends_what_fell_and_takes_back_what_is_worse(settings: Settings, tmp_path: Path) -> None:
    shop, api = Shop(settings), Api(settings)
    async with asyncio.TaskGroup() as group:
        trading = group.create_task(shop.trade())
        await until(api.knows_what_is_usual)
        shop.off = 5.0
        run = await until(api.ended_run)
        assert (run["trigger"], run["outcome"], run["version"]) == ("quality", "promoted", "2"), run
        assert run["evidence"]["score"] < 0.95
        assert run["metrics"]["score_candidate"] > 0.99
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
