import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands.dead_letters import format_letter
from app.errors import SetupError
from tests.support.dead_letters import LETTER


@pytest.mark.parametrize("command", ["list", "show", "replay"])
def test_the_help_of_dead_letters_has_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, ["dead-letters", command, "--help"])
    assert result.exit_code == 0
    assert f"hindsight dead-letters {command}" in result.output


def test_all_dead_letters_are_never_replayed_by_mistake() -> None:
    result = CliRunner().invoke(cli, ["dead-letters", "replay", "--yes"])
    assert isinstance(result.exception, SetupError)
    assert "No dead letters are selected" in result.exception.message


def test_an_invalid_time_is_a_setup_error() -> None:
    result = CliRunner().invoke(cli, ["dead-letters", "list", "--since", "someday"])
    assert isinstance(result.exception, SetupError)
    assert "'someday' is not a valid time" in result.exception.message


@pytest.mark.parametrize("width", [80, 120])
def test_a_letter_fits_into_the_terminal_with_its_ids_whole(width: int) -> None:
    lines = format_letter(LETTER, width)
    assert max(map(len, lines)) <= width
    assert lines[0] == "4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11  2026-01-31 12:00:00"
    assert len(lines) <= 6
    text = " ".join(line.strip() for line in lines)
    assert f"preprocess: unreadable_image: {LETTER.reason}" in text
    assert "from ocr.requests, partition 0, offset 12; event c0ffee00-6a3c-5b8e-9f3a-0d6c1c2b7a11" in text
    assert any(LETTER.event_identity[1] in line for line in lines)
    assert text.endswith("replayed 2 times")
