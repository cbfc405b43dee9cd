import pytest
from typer.testing import CliRunner

from app.cli import cli


@pytest.mark.parametrize("words", [[], ["--subject", "a", "--actor", "b"], ["--subject", ""]])
def test_erase_needs_either_a_subject_or_an_actor(words: list[str]) -> None:
    result = CliRunner().invoke(cli, ["erase", *words])
    assert result.exit_code == 2
    assert "give either --subject or --actor" in result.output


def test_json_output_needs_dry_run_or_yes() -> None:
    result = CliRunner().invoke(cli, ["erase", "--actor", "a", "--json"])
    assert result.exit_code == 2
    assert "add --dry-run or --yes" in result.output


def test_the_help_of_erase_has_an_example() -> None:
    assert "hindsight erase --subject" in CliRunner().invoke(cli, ["erase", "--help"]).output
