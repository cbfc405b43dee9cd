import json
import shlex
from pathlib import Path

from typer.testing import CliRunner

from app.cli import cli


def test_new_task_prints_the_settings_that_add_the_task(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["new-task", "printed_task", "--directory", str(tmp_path / "my tasks")])
    assert result.exit_code == 0, result.output
    paths, tasks = (shlex.split(line)[1] for line in result.stdout.splitlines())
    assert paths == f"PYTHONPATH={tmp_path / 'my tasks'}${{PYTHONPATH:+:$PYTHONPATH}}"
    class_paths = json.loads(tasks.removeprefix("HINDSIGHT_TASKS="))
    assert class_paths.pop("printed_task") == "printed_task:PrintedTask"
    assert "ocr" in class_paths
    assert (tmp_path / "my tasks" / "printed_task" / "versions" / "1" / "model.onnx").is_file()


def test_the_help_of_new_task_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["new-task", "--help"])
    assert result.exit_code == 0
    assert "hindsight new-task mood" in result.output
