import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import SetupError
from app.settings import settings


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configure only the task `letters`."""
    settings.cache_clear()
    monkeypatch.setenv("HINDSIGHT_TASKS", json.dumps({"letters": "tests.support.tasks:Letters"}))
    yield
    settings.cache_clear()


@pytest.mark.parametrize(("task", "message"), [("ocr", "There is no task"), ("letters", "no file to import")])
def test_an_impossible_import_is_a_setup_error_with_a_remedy(tmp_path: Path, task: str, message: str) -> None:
    result = CliRunner().invoke(cli, ["import", task, str(tmp_path)])
    assert isinstance(result.exception, SetupError)
    assert message in result.exception.message
    assert result.exception.remedy


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import", "letters", str(tmp_path), "--format", "xml"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "librispeech" in result.output


def test_the_help_of_import_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["import", "--help"])
    assert result.exit_code == 0
    assert "hindsight import ocr" in result.output
