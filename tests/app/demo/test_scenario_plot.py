"""The story as a picture and a page."""

from pathlib import Path

import pytest

from app.demo import scenario_plot
from app.demo.scenario import ScenarioResult
from app.demo.timeline import TimelineEvent
from app.demo.traffic import AnsweredRequest


def answered(second: float, score: float, version: str = "1") -> AnsweredRequest:
    return AnsweredRequest(1_000.0 + second, "usual" if second % 2 else "new", score, version, "champion")


@pytest.fixture
def story() -> ScenarioResult:
    return ScenarioResult(
        task="letters",
        requests=[answered(number / 2, 0.5, "1" if number < 100 else "2") for number in range(300)],
        unanswered=0,
        events=[TimelineEvent(1_010.0, "trigger: quality", "score <0.5>"), TimelineEvent(1_050.0, "promote 2")],
        usual=0.9,
        fallen=0.5,
        regained=0.8,
        champion="2",
        bad="3",
        bad_answers=20,
        bad_share=0.2,
        seconds=150.0,
    )


def test_it_is_written_as_a_picture_and_as_a_page_with_all_events(story: ScenarioResult, tmp_path: Path) -> None:
    png, page = scenario_plot.write_plot(story, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    said = page.read_text()
    assert "trigger: quality" in said
    assert "score &lt;0.5&gt;" in said
    assert "75% of what was lost is regained" in said


def test_the_page_needs_nothing_from_a_network(story: ScenarioResult, tmp_path: Path) -> None:
    _, page = scenario_plot.write_plot(story, tmp_path)
    said = (
        page.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "").replace("http://www.w3.org/1999/xlink", "")
    )
    for foreign in ("src=", "<script", "@import", "url(http"):
        assert foreign not in said


def test_the_same_story_makes_the_same_page(story: ScenarioResult, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    assert (
        scenario_plot.write_plot(story, tmp_path)[1].read_text()
        == scenario_plot.write_plot(story, tmp_path / "again")[1].read_text()
    )


def test_a_story_holds_if_half_is_regained_and_the_spoilt_version_kept_to_its_share(story: ScenarioResult) -> None:
    assert story.recovered == pytest.approx(0.75)
    assert story.is_successful


@pytest.mark.parametrize("otherwise", [{"regained": 0.69}, {"bad_share": 0.5, "bad_answers": 100}, {"unanswered": 1}])
def test_it_does_not_hold_otherwise(story: ScenarioResult, otherwise: dict[str, float]) -> None:
    assert not ScenarioResult(**{**vars(story), **otherwise}).is_successful
