from pathlib import Path

import pytest

from app.demo import scenario_plot
from app.demo.scenario_result import ScenarioResult
from app.demo.timeline import TimelineEvent
from app.demo.traffic import AnsweredRequest


def answered(second: float, score: float, version: str = "1") -> AnsweredRequest:
    return AnsweredRequest(1_000.0 + second, "baseline" if second % 2 else "new", score, version, "champion")


@pytest.fixture
def result() -> ScenarioResult:
    return ScenarioResult(
        task="letters",
        requests=[answered(number / 2, 0.5, "1" if number < 100 else "2") for number in range(300)],
        unanswered=0,
        events=[TimelineEvent(1_010.0, "trigger: quality", "score <0.5>"), TimelineEvent(1_050.0, "promote 2")],
        baseline_score=0.9,
        drifted_score=0.5,
        regained_score=0.8,
        champion="2",
        faulty_version="3",
        faulty_answers=20,
        faulty_share=0.2,
        seconds=150.0,
    )


def test_a_result_is_written_as_a_picture_and_as_a_page_with_all_events(result: ScenarioResult, tmp_path: Path) -> None:
    png, page = scenario_plot.write_plot(result, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    html = page.read_text()
    assert "trigger: quality" in html
    assert "score &lt;0.5&gt;" in html
    assert "75% of the loss is regained" in html


def test_the_page_loads_nothing_from_a_network(result: ScenarioResult, tmp_path: Path) -> None:
    _, page = scenario_plot.write_plot(result, tmp_path)
    html = (
        page.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "").replace("http://www.w3.org/1999/xlink", "")
    )
    for foreign in ("src=", "<script", "@import", "url(http"):
        assert foreign not in html


def test_the_same_result_makes_the_same_page(result: ScenarioResult, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    assert (
        scenario_plot.write_plot(result, tmp_path)[1].read_text()
        == scenario_plot.write_plot(result, tmp_path / "second")[1].read_text()
    )
