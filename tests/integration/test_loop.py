"""The loop without help: quality falls, a run is triggered, its candidate is promoted; a bad canary is rolled back."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from app.demo import scenario_plot
from app.demo.scenario import REWARDS_TIMING, ScenarioTiming, run_scenario
from app.demo.scenario_result import FAULTY_SHARE, ScenarioResult
from app.settings import Settings
from models.small.ocr import Ocr
from tests.support.commands import run_command
from tests.support.scales import Scales

FAST = ScenarioTiming(
    requests_per_second=15,
    window_seconds=6,
    feedback_seconds=8,
    min_answers=20,
    min_step_seconds=4,
    max_step_seconds=18,
    timeout_seconds=300,
)
"""For a task that trains within a second."""
PIPELINE = ("a new source", "trigger: quality", "dataset", "trained", "backtest", "gate", "version 2 registered")
ROLLOUT = ("shadow 2", "canary 2 at 25%", "canary 2 at 50%", "promote 2", "run promoted")


def check(result: ScenarioResult) -> None:
    """Check what holds for every scenario."""
    first = {event.title: event.time for event in reversed(result.events)}
    assert all(first[earlier] <= first[later] for earlier, later in pairwise((*PIPELINE, *ROLLOUT)))
    assert first["a faulty canary"] < first["rollback"]
    assert result.drifted_score < result.baseline_score
    assert result.recovered >= 0.5
    assert result.unanswered == 0
    assert result.faulty_answers > 0
    assert result.is_successful, (
        f"{result.faulty_share:.1%} of the requests went to the faulty version, {FAULTY_SHARE:.0%} are its own"
    )


@pytest.mark.quiet
@pytest.mark.timeout(600)
async def test_the_loop_restores_quality_and_rolls_back_a_worse_version(tmp_path: Path) -> None:
    settings = Settings(tasks={"scales": "tests.support.scales:Scales"})
    result = await run_scenario(settings, Scales(), tmp_path / "home", FAST, 0, print)
    check(result)
    assert result.champion == "2"
    backtest = next(event.detail for event in result.events if event.title == "backtest")
    assert "score 1, served 0." in backtest, backtest
    png, page = scenario_plot.write_plot(result, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "rollback" in page.read_text()


@pytest.mark.soak
@pytest.mark.timeout(1500)
async def test_ocr_learns_an_unseen_font_in_the_loop(tmp_path: Path) -> None:
    check(await run_scenario(Settings(), Ocr(), tmp_path / "home", ScenarioTiming(), 0, print))


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_ocr_learns_an_unseen_font_from_rewards_alone(tmp_path: Path) -> None:
    settings = Settings(task_options={"ocr": {"explore": 0.3}})
    result = await run_scenario(settings, Ocr(explore=0.3), tmp_path / "home", REWARDS_TIMING, 0, print, "rewards")
    titles = [event.title for event in result.events]
    assert {"trigger: quality", "trigger: volume"} & set(titles)
    assert "promote 2" in titles
    assert result.regained_score > result.drifted_score
    assert titles.index("a faulty canary") < titles.index("rollback")
    assert result.unanswered == 0


async def test_a_task_without_a_drifted_source_has_no_scenario(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    done = await run_command(
        settings, sys.executable, "-m", "app.cli", "demo", "loop", "decision", "--out", str(tmp_path / "x")
    )
    assert done.code != 0
    assert "no source" in done.err
