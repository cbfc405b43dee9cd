import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.support import foreign_models


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


def test_new_task_of_a_model_says_what_it_knows_and_what_it_assumes(tmp_path: Path) -> None:
    model = foreign_models.save(foreign_models.colour_classifier(), tmp_path / "colours.onnx")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    options = ["--labels", str(tmp_path / "labels.txt"), "--size", "32x48", "--mean", "0,0,0", "--licence", "MIT"]
    words = ["new-task", "lamp", "--directory", str(tmp_path), "--from", str(model), *options]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert "lamp:Lamp" in result.stdout
    assert "known    kind classification: its outputs have one score for each class: logits (1, 3)" in result.stderr
    assert "assumed  channels are in the order RGB; --channels sets the other" in result.stderr
    assert "normalised" not in result.stderr
    manifest = json.loads((tmp_path / "lamp" / "versions" / "1" / "manifest.json").read_text())
    assert (manifest["labels"], manifest["licence"]) == (["red", "green", "blue"], "MIT")


@pytest.mark.parametrize(("option", "value"), [("--size", "224"), ("--mean", "a,b")])
def test_a_value_that_is_none_is_refused_with_an_example(tmp_path: Path, option: str, value: str) -> None:
    model = foreign_models.save(foreign_models.colour_classifier(), tmp_path / "colours.onnx")
    words = ["new-task", "lamp", "--directory", str(tmp_path), "--from", str(model), option, value]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "such as" in result.output
