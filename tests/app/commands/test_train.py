import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import SetupError
from app.settings import settings
from tests.support.datasets import scale_row, write_dataset


@pytest.fixture(autouse=True)
def scales(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings with a task that trains within a second."""
    settings.cache_clear()
    monkeypatch.setenv("HINDSIGHT_TASKS", json.dumps({"scales": "tests.support.scales:Scales"}))
    yield
    settings.cache_clear()


def test_a_version_is_trained_on_a_dataset_and_its_card_says_how(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [scale_row(number, split="train") for number in range(3)])
    out = tmp_path / "candidate"
    result = CliRunner().invoke(cli, ["train", "scales", "--dataset", str(dataset), "--out", str(out)])
    assert result.exit_code == 0, result.output
    card = json.loads((out / "card.json").read_text())
    assert card["figures"] == {"off": 0.0}
    assert card["created by command"] == f"hindsight train scales --dataset {dataset} --parent 1 --seed 0 --out {out}"
    assert (out / "model.onnx").stat().st_size > 0
    assert f"models register scales {out / 'model.onnx'} --card {out / 'card.json'} --parent 1" in result.stdout


def test_a_dataset_that_teaches_nothing_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    dataset, out = write_dataset(tmp_path, []), tmp_path / "candidate"
    result = CliRunner().invoke(cli, ["train", "scales", "--dataset", str(dataset), "--out", str(out)])
    assert isinstance(result.exception, SetupError)
    assert "no labels to learn from" in result.exception.remedy
    assert not out.exists()
