from typer.testing import CliRunner

from app.cli import cli


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["import", "--help"])
    assert result.exit_code == 0
    assert "hindsight import ocr" in result.output
