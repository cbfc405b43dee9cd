"""Decisions in episodes on the real platform: a version that has learned from the replayed log plays a game better."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.replay import replay
from app.replay.query import ReplayQuery
from benchmarks.studies.episodes import GAMES, TASK, play_round, train_version, write_task
from tests.support.platform import platform_settings, run_processes
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
