import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.events.types import PredictionMade


def hindsight(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", ["schemas", "asyncapi", "dictionary"])
def test_the_help_of_a_contract_command_has_an_example(command: str) -> None:
    assert f"Example: hindsight {command}" in hindsight(command, "--help")


def test_schemas_writes_a_file_for_each_type(tmp_path: Path) -> None:
    output = hindsight("schemas", "--out", str(tmp_path / "new"))
    files = list((tmp_path / "new").iterdir())
    assert output == f"{tmp_path / 'new'}: {len(files)} schemas\n"
    assert json.loads((tmp_path / "new" / f"{PredictionMade.type}.json").read_text())["title"] == "PredictionMade"


@pytest.mark.parametrize("command", ["asyncapi", "dictionary"])
def test_a_contract_document_is_printed_or_written(command: str, tmp_path: Path) -> None:
    printed = hindsight(command)
    assert hindsight(command, "--out", str(tmp_path / "new" / "document")) == ""
    assert (tmp_path / "new" / "document").read_text() == printed


def test_asyncapi_prints_json() -> None:
    assert json.loads(hindsight("asyncapi"))["asyncapi"] == "3.0.0"
