"""Decisions in episodes on the real platform: a version that has learned from the replayed log plays a game better."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import polars as pl
import pytest

from app.replay import replay
from app.replay.query import ReplayQuery
from app.settings import Settings, TaskSettings
from benchmarks.studies.episodes import GAMES, TASK, Game, play_round, train_version, write_task
from tests.support.platform import platform_settings, run_processes
from tests.support.retraining_loop import PROCESSES, TASK_RULES, LoopApi, wait_until
from tests.support.stack import Stack

GAME = replace(GAMES["CartPole-v1"], max_steps=60)
EPISODES = 40


@pytest.mark.soak
async def test_a_version_that_has_learned_from_the_replayed_log_plays_a_game_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = platform_settings(tmp_path, **write_task(tmp_path, GAME))
    async with run_processes(settings, only=("kafka", "preprocess", "mlserver", "worker")) as supervisor:
        before = await play_round(settings.bootstrap, GAME, 1, EPISODES)
        card = await asyncio.to_thread(train_version, settings, tmp_path, 2)
        for name in ("mlserver", "worker"):  # they restart with the new version
            Stack(settings, supervisor).kill(name)
        after = await play_round(settings.bootstrap, GAME, 2, EPISODES)
        rows, _ = await asyncio.to_thread(replay.read_dataframe, settings, ReplayQuery.from_options(settings, TASK))
    # Each reward is 1: only the later rewards of an episode are worth learning.
    assert rows["reward"].unique().to_list() == [1.0]
    served = rows.group_by("version").agg(pl.len(), pl.col("entity").n_unique()).sort("version")
    assert served.rows() == [("1", sum(map(len, before)), EPISODES), ("2", sum(map(len, after)), EPISODES)]
    assert sum(card["decisions"].values()) <= served["len"][0]
    assert card["episodes"]["left_out"] == {}
    assert np.mean([*map(len, after)]) > 1.5 * np.mean([*map(len, before)])


class Corridor(gymnasium.Env[Any, Any]):
    """Three steps to the left or to the right; only who has gone right three times is rewarded, at the end."""

    observation_space = gymnasium.spaces.Discrete(7)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begin an episode in the middle."""
        super().reset(seed=seed)
        self._place, self._steps = 3, 0
        return self._place, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Go a step."""
        self._place += 1 if action else -1
        self._steps += 1
        return self._place, float(self._place == 6), self._steps == 3, False, {}


CORRIDOR = Game(
    "Corridor-v0",
    ("left", "right"),
    {"place": [str(place) for place in range(7)]},
    lambda observation: {"place": str(observation)},
    max_steps=3,
    gamma=1.0,
    options={},
)
LEARNING = {"triggers": TASK_RULES["retraining"]["triggers"] | {"min_new_labels": 24_000, "quality_alpha": None}}


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_what_learned_from_the_rewards_of_episodes_is_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gymnasium.register("Corridor-v0", lambda **_: Corridor(), order_enforce=False, disable_env_checker=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rules = TASK_RULES | {"retraining": TASK_RULES["retraining"] | LEARNING}
    settings = platform_settings(
        tmp_path,
        **write_task(tmp_path, CORRIDOR),
        task_settings={TASK: TaskSettings.model_validate(rules)},
        retraining_seconds=1.0,
        archive_seconds=1.0,
    )
    async with run_processes(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        api, before = LoopApi(settings), list[float]()
        async with playing(settings, before):
            run = await wait_until(api.last_ended_run, 1500)
        assert run["outcome"] == "promoted", run
        after = list[float]()
        async with playing(settings, after, 10_000):
            await wait_until(lambda: enough(after), 120)
    assert np.mean(before) < 0.2
    assert np.mean(after) > 1.5 * np.mean(before), (np.mean(before), np.mean(after))


@asynccontextmanager
async def playing(settings: Settings, returns: list[float], first_round: int = 1) -> AsyncIterator[None]:
    """Play rounds of 50 episodes for as long as the block lasts; append the return of each episode."""

    async def play() -> None:
        for number in count(first_round):
            rounds = await play_round(settings.bootstrap, CORRIDOR, number, 50)
            returns.extend(map(sum, rounds))

    task = asyncio.create_task(play())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def enough(returns: list[float]) -> bool:
    return len(returns) >= 500
