import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands import client
from app.errors import SetupError
from app.settings import settings


def test_retrain_without_a_task_has_a_remedy() -> None:
    result = CliRunner().invoke(cli, ["retrain"])
    assert isinstance(result.exception, SetupError)
    assert result.exception.remedy == "Name the task to retrain, such as: hindsight retrain ocr"


def test_retrain_without_a_platform_tells_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.cache_clear()
    monkeypatch.setenv("HINDSIGHT_API_PORT", "1")
    result = CliRunner().invoke(cli, ["retrain", "ocr"])
    settings.cache_clear()
    assert isinstance(result.exception, SetupError)
    assert "hindsight up" in result.exception.remedy


RUN = {"run_id": "r1", "task": "ocr", "trigger": "manual", "outcome": "refused", "version": None, "decision": None}


@pytest.mark.parametrize(
    ("runs", "output"),
    [
        ([], "There are no runs of ocr yet."),
        (
            [RUN | {"began": "2026-01-31T12:00:05.123Z", "step": None, "reason": "worse"}],
            "2026-01-31 12:00  r1  ocr               manual    refused      -            worse",
        ),
    ],
)
def test_the_list_of_runs_has_their_times_or_says_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch, runs: list[dict[str, object]], output: str
) -> None:
    monkeypatch.setattr(client, "check_same_log", lambda: None)
    monkeypatch.setattr(client, "call_api", lambda *_: {"runs": runs})
    assert CliRunner().invoke(cli, ["retrain", "ocr", "--list"]).stdout.splitlines() == [output]


@pytest.mark.parametrize("words", [["retrain"], ["models", "rollback"], ["models", "register"], ["models", "freeze"]])
def test_the_help_of_retrain_and_models_has_an_example(words: list[str]) -> None:
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0
    assert f"hindsight {' '.join(words)} ocr" in result.output
