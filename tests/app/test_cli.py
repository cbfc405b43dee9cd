import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.settings import CHECKOUT, Settings
from tests.support.commands import run_hindsight

COMMANDS = ["up", "run", "send", "feedback", "batch", "doctor", "topics"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output
    assert f"hindsight {command}" in result.output


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"hindsight {version('hindsight')}\n"


def test_the_shell_completes_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"_HINDSIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "hindsight send o", "COMP_CWORD": "2"}
    result = CliRunner().invoke(cli, [], env=words, prog_name="hindsight")
    assert result.output.split() == ["object_detection", "ocr"]


async def test_help_imports_no_slow_module() -> None:
    code = "import sys, app.cli; print([name for name in ('aiokafka', 'numpy', 'fastapi') if name in sys.modules])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0] == b"[]\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "remedy"),
    [
        (["topics"], {}, "HINDSIGHT_KAFKA_BOOTSTRAP"),
        (["feedback", "ocr:4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11", "--accepted"], {}, "Start the platform"),
        (["topics"], {"HINDSIGHT_API_PORT": "web"}, "HINDSIGHT_API_PORT: Input should be a valid integer"),
        (["topics"], {"HINDSIGHT_API_PORT": "99999"}, "a port is between 1 and 65535"),
        (["up"], {"HINDSIGHT_TASKS": '{"ocr": "models.nowhere:Ocr"}'}, "Check the module's and the class's name."),
        (["run"], {"HINDSIGHT_TASKS": '{"OCR": "models.small.ocr:Ocr"}', "HINDSIGHT_DEMO": "1"}, "a letter first"),
    ],
)
async def test_an_error_that_the_user_can_fix_is_printed_with_a_remedy_and_no_traceback(
    brokerless: Settings, arguments: list[str], variables: dict[str, str], remedy: str
) -> None:
    result = await run_hindsight(brokerless, *arguments, **variables)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert remedy in result.err
    assert "Remedy: " in result.err
    assert "Traceback" not in result.err


async def test_files_that_a_command_writes_are_readable_by_its_user_only(tmp_path: Path) -> None:
    """Whatever the shell's umask is: the catalog, blobs and datasets hold payloads, feedback and actors."""
    config = Settings(home=tmp_path / "home")
    umask = os.umask(0o022)
    try:
        result = await run_hindsight(config, "keys", "create", "ci", "--scope", "read")
    finally:
        os.umask(umask)
    assert result.code == 0, result.err
    paths = [config.home, *config.home.rglob("*")]
    assert config.home / "catalog.sqlite" in paths
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in paths} == dict.fromkeys(
        (path.name for path in paths), "0o0"
    )
