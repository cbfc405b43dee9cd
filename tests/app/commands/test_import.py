import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands import import_
from app.errors import SetupError
from app.importers.layouts import Format
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


def put_labels(directory: Path, rows: str) -> Path:
    (directory / "a.txt").write_text("abc")
    (directory / "labels.csv").write_text(f"file,label\n{rows}")
    return directory / "labels.csv"


@pytest.mark.parametrize(
    ("rows", "counts", "exit_code"),
    [
        ("a.txt,1\n", {"imported": 1, "known": 0, "rejected": 0}, 0),
        ("a.txt,1\na.txt,1\nx.txt,1\n", {"imported": 1, "known": 1, "rejected": 1}, 1),
    ],
)
def test_a_dry_run_counts_without_a_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, counts: dict[str, int], exit_code: int
) -> None:
    monkeypatch.setenv("HINDSIGHT_HOME", str(tmp_path / "home"))
    arguments = ["import", "letters", str(put_labels(tmp_path, rows)), "--map", "file=path", "--dry-run", "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == exit_code
    assert json.loads(result.stdout.splitlines()[-1]) == counts
    assert not (tmp_path / "home").exists()


def test_a_source_without_rows_is_a_setup_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import", "letters", str(put_labels(tmp_path, "")), "--map", "file=path"])
    assert isinstance(result.exception, SetupError)
    assert "no rows" in result.exception.message


def test_a_map_without_a_name_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import", "letters", str(put_labels(tmp_path, "")), "--map", "file"])
    assert result.exit_code == 2


def test_the_formats_of_the_command_are_those_that_are_read() -> None:
    assert get_args(import_._Format) == get_args(Format)
