import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import SetupError
from app.settings import CHECKOUT, settings
from models import tensors
from models.decision import Decision
from models.decision.request import ids_of
from models.decision.train import simulated
from tests.support.datasets import write_dataset

TASK = """
from models.base import Sample
from tests.support.tasks import Letters

class Measured(Letters):
    name = "measured"

    def held_out(self):
        yield Sample("a", b"a", "text/plain", {"sum": 97.0}, "sums")
"""


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The card of a task that these settings have; its held-out set is scored 1."""
    monkeypatch.syspath_prepend(tmp_path)
    module = f"command_{tmp_path.name}"
    version = tmp_path / module / "versions" / "1"
    version.mkdir(parents=True)
    shutil.copy(CHECKOUT / "tests" / "support" / "versions" / "1" / "model.onnx", version)
    (tmp_path / module / "__init__.py").write_text(TASK)
    settings.cache_clear()
    monkeypatch.setenv("HINDSIGHT_TASKS", json.dumps({"measured": f"{module}:Measured"}))
    yield version / "card.json"
    settings.cache_clear()


def test_a_version_that_is_as_its_card_says_ends_with_0(card: Path) -> None:
    card.write_text('{"figures": {"score_sums": 1.0}}')
    result = CliRunner().invoke(cli, ["evaluate", "measured"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "measured 1: 1 samples, a difference of 0.005 is tolerated"
    assert result.stdout.splitlines()[2].split() == ["score_sums", "1", "1"]


def test_a_version_that_is_not_ends_with_1_and_says_in_what(card: Path) -> None:
    card.write_text('{"figures": {"score_sums": 0.9}}')
    result = CliRunner().invoke(cli, ["evaluate", "measured", "--version", "1", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["figures"] == {"score_sums": {"measured": 1.0, "card": 0.9, "differs": True}}
    assert "not as the card says: score_sums" in result.stderr


def test_a_version_is_valued_on_logged_choices_beside_another(tmp_path: Path) -> None:
    decision = Decision()
    found = list(simulated(decision, 400, 5))
    rows = []
    for number, one in enumerate(found):
        data, declaration = tensors.encode(one.features)
        output = {"action": ids_of(one.features)[one.chosen], "probabilities": {}}
        said = {"output": json.dumps(output), "propensity": one.propensity, "reward": one.reward}
        rows.append({"prediction_id": str(number), "split": "test", "features": data, "tensors": declaration, **said})
    log = str(write_dataset(tmp_path, rows, content_hash="abc"))
    result = CliRunner().invoke(cli, ["evaluate", "decision", "--off-policy", log, "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["differences"]["dr"] == [0.0, 0.0, 0.0]  # the one that serves, and itself
    value, low, high = said["versions"]["version"]["estimates"]["snips"]
    assert low < value < high
    shown = CliRunner().invoke(cli, ["evaluate", "decision", "--off-policy", log]).stdout.splitlines()
    assert shown[0].startswith("400 logged choices earned ")
    assert [line.split()[0] for line in shown[2:7]] == ["ips", "snips", "dm", "dr", "switch-dr"]


def test_what_can_t_be_valued_off_policy_says_why(tmp_path: Path) -> None:
    missing = CliRunner().invoke(cli, ["evaluate", "decision", "--off-policy", str(tmp_path / "none")])
    assert isinstance(missing.exception, SetupError)
    assert "hindsight replay decision --out" in missing.exception.remedy
    other = CliRunner().invoke(cli, ["evaluate", "ocr", "--off-policy", str(tmp_path)])
    assert isinstance(other.exception, SetupError)
    assert "not choices between actions" in other.exception.remedy


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "--help"])
    assert result.exit_code == 0
    assert "hindsight evaluate ocr" in result.output
