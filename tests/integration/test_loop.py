"""The loop by itself: quality falls, a run is triggered, its candidate comes to serve; a bad canary is taken back."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest

from app.demo import scenario_plot
from app.demo.scenario import ScenarioTiming, run_scenario
from app.demo.scenario_result import FAULTY_SHARE, ScenarioResult
from app.settings import Settings
from models.ocr import Ocr
from tests.support.commands import run_command
from tests.support.scales import Scales

QUICK = ScenarioTiming(
    requests_per_second=15,
    window_seconds=6,
    feedback_seconds=8,
    min_answers=20,
    min_step_seconds=4,
    max_step_seconds=18,
    timeout_seconds=300,
)
"""For a task that learns within a second."""
WAY = ("a new source", "trigger: quality", "dataset", "trained", "backtest", "gate", "version 2 registered")
ROLLOUT = ("shadow 2", "canary 2 at 25%", "canary 2 at 50%", "promote 2", "run promoted")


def check(story: ScenarioResult) -> None:
    """What is due of every story."""
    first = {event.title: event.time for event in reversed(story.events)}
    assert all(first[earlier] <= first[later] for earlier, later in pairwise((*WAY, *ROLLOUT)))
    assert first["a faulty canary"] < first["rollback"]
    assert story.drifted_score < story.baseline_score
    assert story.recovered >= 0.5
    assert story.unanswered == 0
    assert story.faulty_answers > 0
    assert story.is_successful, (
        f"{story.faulty_share:.1%} of the requests went to the faulty version, whose share is {FAULTY_SHARE:.0%}"
    )


@pytest.mark.quiet
@pytest.mark.timeout(600)
async def test_the_loop_mends_what_fell_and_takes_back_what_is_worse(tmp_path: Path) -> None:
    settings = Settings(tasks={"scales": "tests.support.scales:Scales"})
    story = await run_scenario(settings, Scales(), tmp_path / "home", QUICK, 0, print)
    check(story)
    assert story.champion == "2"
    backtest = next(event.detail for event in story.events if event.title == "backtest")
    assert "score 1, served 0." in backtest, backtest
    png, page = scenario_plot.write_plot(story, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "rollback" in page.read_text()


@pytest.mark.soak
@pytest.mark.timeout(1500)
async def test_a_font_never_seen_is_learned_by_ocr(tmp_path: Path) -> None:
    check(await run_scenario(Settings(), Ocr(), tmp_path / "home", ScenarioTiming(), 0, print))


async def test_a_task_without_a_source_that_it_is_bad_at_has_no_story(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    done = await run_command(
        settings, sys.executable, "-m", "app.cli", "demo", "loop", "decision", "--out", str(tmp_path / "x")
    )
    assert done.code != 0
    assert "no source" in done.err
