import pytest

from app.demo.scenario_result import ScenarioResult


@pytest.fixture
def result() -> ScenarioResult:
    return ScenarioResult(
        task="letters",
        requests=[],
        unanswered=0,
        events=[],
        baseline_score=0.9,
        drifted_score=0.5,
        regained_score=0.8,
        champion="2",
        faulty_version="3",
        faulty_answers=20,
        faulty_share=0.2,
        seconds=150.0,
    )


def test_a_result_is_successful_if_half_is_regained_and_the_faulty_version_kept_to_its_share(
    result: ScenarioResult,
) -> None:
    assert result.recovered == pytest.approx(0.75)
    assert result.is_successful


@pytest.mark.parametrize(
    "changes", [{"regained_score": 0.69}, {"faulty_share": 0.5, "faulty_answers": 100}, {"unanswered": 1}]
)
def test_a_result_is_not_successful_otherwise(result: ScenarioResult, changes: dict[str, float]) -> None:
    assert not ScenarioResult(**{**vars(result), **changes}).is_successful
