import pytest
from typer.testing import CliRunner

from app.cli import cli


@pytest.mark.parametrize("words", [[], ["--subject", "a", "--actor", "b"], ["--subject", ""]])
def test_either_a_subject_or_an_actor_is_erased(words: list[str]) -> None:
    result = CliRunner().invoke(cli, ["erase", *words])
    assert result.exit_code == 2
    assert "either --subject or --actor" in result.output


def test_json_asks_no_question() -> None:
    result = CliRunner().invoke(cli, ["erase", "--actor", "a", "--json"])
    assert result.exit_code == 2
    assert "--dry-run or --yes is needed" in result.output


def test_help_has_an_example() -> None:
    assert "hindsight erase --subject" in CliRunner().invoke(cli, ["erase", "--help"]).output
