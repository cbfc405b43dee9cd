"""A new task runs at once, and the walk-through in CONTRIBUTING.md is correct."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.errors import SetupError
from app.evaluation.held_out import evaluate
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from app.tasks import load_tasks
from app.templates import scaffold
from app.templates.scaffold import create_task
from models.base import Untrainable
from models.training import train
from tests.support.walkthrough import BLOCKS, PLATFORM


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, to write into."""
    for name in ("app", "models"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(CHECKOUT / ".venv")
    return tmp_path


def test_the_commands_of_the_walk_through_work(checkout: Path) -> None:
    script = "\n".join(block for block in BLOCKS if not PLATFORM.search(block))
    assert script.count("hindsight new-task mood") == 1
    words = ["bash", "-euo", "pipefail", "-c", script]
    variables = process_environment(Settings()) | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(words, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "11 passed" in done.stdout
    assert "mood 1: 6 samples" in done.stdout
    assert "mood 2: 6 samples" in done.stdout
    assert "['question', 'statement']" in done.stdout
    first, second = (checkout / "models" / "mood" / "versions" / version / "card.json" for version in "12")
    assert json.loads(first.read_text())["figures"] == json.loads(second.read_text())["figures"]


def test_a_new_task_is_loaded_by_its_class_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    created = create_task("served_task", tmp_path, ["ocr"])
    assert (created.class_path, created.python_path) == ("served_task:ServedTask", tmp_path)
    assert not [path for path in created.folder.rglob("*.py") if re.search("NewTask|new_task", path.read_text())]
    evaluation = evaluate(Settings(tasks={"served_task": created.class_path}), "served_task", None, lambda done: None)
    assert [metric.differs_from_card for metric in evaluation.metrics] == [False]


def test_a_task_that_only_predicts_needs_no_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    created = create_task("only_predicts", tmp_path, [])
    (created.folder / "train.py").unlink()
    code = (created.folder / "task.py").read_text()
    (created.folder / "task.py").write_text(re.sub(r"    trainer: .*\n", "", code))
    config = Settings(tasks={"only_predicts": created.class_path})
    assert evaluate(config, "only_predicts", None, lambda done: None).samples == 6
    with pytest.raises(Untrainable, match="only predicts"):
        train(load_tasks(config)["only_predicts"], None, None, 0, lambda step, done, total: None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mood", "is not a valid name for a task"),
        ("", "is not a valid name for a task"),
        ("../mood", "is not a valid name for a task"),
        ("class", "is not a valid name for a task"),
        ("m" * 41, "is not a valid name for a task"),
        ("ocr", "There is already a task 'ocr'"),
        ("taken", "already exists"),
        ("module", "already exists"),
        ("json", "There is already a Python module 'json'"),
        ("task", "would be Task"),
        ("sample", "would be Sample"),
    ],
)
def test_an_unusable_name_is_refused_and_no_file_is_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "module.py").touch()
    with pytest.raises(SetupError) as caught:
        create_task(name, tmp_path, ["ocr"])
    assert message in caught.value.message
    assert caught.value.remedy
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "module.py"}


def test_inside_the_checkout_a_module_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaffold, "CHECKOUT", tmp_path)
    created = create_task("mood", tmp_path / "models", [])
    assert (created.class_path, created.python_path) == ("models.mood:Mood", None)
