import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import SetupError


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
    result = CliRunner().invoke(cli, ["dead-letters", "list", "--since", "yesterday"])
    assert isinstance(result.exception, SetupError)
    assert "'yesterday' is not a valid time" in result.exception.message
