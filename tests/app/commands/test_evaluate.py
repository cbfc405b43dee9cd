import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.settings import CHECKOUT, settings

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


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "--help"])
    assert result.exit_code == 0
    assert "hindsight evaluate ocr" in result.output
