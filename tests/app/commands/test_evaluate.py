import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.errors import SetupError
from app.settings import CHECKOUT, settings
from models import tensors
from models.decision import Decision
from models.decision.request import ids_of
from models.decision.train import PLAN, simulated
from tests.support.datasets import START, write_dataset
from tests.support.tasks import Letters

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
    """The card of a task in these settings, whose held-out set has the score 1."""
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


def test_a_version_that_matches_its_card_exits_with_0(card: Path) -> None:
    card.write_text('{"figures": {"score_sums": 1.0}}')
    result = CliRunner().invoke(cli, ["evaluate", "measured"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "measured 1: 1 samples, tolerance 0.005"
    assert result.stdout.splitlines()[2].split() == ["score_sums", "1", "1"]


def test_a_version_that_differs_from_its_card_exits_with_1_and_names_the_metric(card: Path) -> None:
    card.write_text('{"figures": {"score_sums": 0.9}}')
    result = CliRunner().invoke(cli, ["evaluate", "measured", "--version", "1", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["figures"] == {"score_sums": {"measured": 1.0, "card": 0.9, "differs": True}}
    assert "differs from the card: score_sums" in result.stderr


def test_two_versions_are_compared_on_logged_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.decision.off_policy.PLAN", replace(PLAN, least_steps=50))
    decision = Decision()
    rows = []
    for number, choice in enumerate(simulated(decision, 400, 5)):
        data, declaration = tensors.encode(choice.features)
        output = {"action": ids_of(choice.features)[choice.chosen], "probabilities": {}}
        outcome = {"output": json.dumps(output), "propensity": choice.propensity, "reward": choice.reward}
        request = {"prediction_id": str(number), "time": START + timedelta(minutes=number), "split": "train"}
        app = {"request_source": f"app {number % 2}", "features": data, "tensors": declaration}
        rows.append({**request, **app, **outcome})
    log = str(write_dataset(tmp_path, rows, content_hash="abc"))
    options = ["evaluate", "decision", "--off-policy", log, "--over-time", "--by", "request_source"]
    result = CliRunner().invoke(cli, [*options, "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["differences"]["dr"] == [0.0, 0.0, 0.0]  # the serving version against itself
    assert (values["split"], values["rows"]) == ("any", "all rows for version 1")
    value, low, high = values["versions"]["version"]["estimates"]["snips"]
    assert low < value < high
    comparison = values["comparison"]
    assert comparison["total"]["candidate"][0] == pytest.approx(values["versions"]["version"]["estimates"]["dr"][0])
    assert [part["count"] for part in comparison["over_time"]] == [400]
    assert [part["slice"] for part in comparison["slices"][0]["parts"]] == ["app 0", "app 1"]
    lines = CliRunner().invoke(cli, options).stdout.splitlines()
    assert lines[0].startswith("400 logged choices earned ")
    assert lines[0].endswith("each: all rows for version 1")
    assert [line.split()[0] for line in lines[2:7]] == ["ips", "snips", "dm", "dr", "switch-dr"]
    assert any(line.startswith("request_source app 1 ") for line in lines)
    assert lines[-1].startswith("Of the 3 parts, the intervals of all differences hold at once")


def test_two_versions_are_compared_on_audited_labels(card: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(60):
        data, declaration = tensors.encode(Letters().preprocess(b"a"))
        about = {"prediction_id": str(number), "time": START + timedelta(hours=number), "confidence": number / 60}
        audited = {"selection": "audit", "selection_probability": 0.5, "audit_answered": True, "split": "train"}
        label = json.dumps({"sum": 97.0 + number % 2})
        rows.append({**about, **audited, "features": data, "tensors": declaration, "label": label})
    (tmp_path / "log").mkdir()
    log = str(write_dataset(tmp_path / "log", rows))
    options = ["evaluate", "measured", "--outcomes", log, "--over-time", "--by", "confidence"]
    result = CliRunner().invoke(cli, [*options, "--json"])
    assert result.exit_code == 0, result.output
    comparison = json.loads(result.stdout)["comparison"]
    assert (comparison["evidence"], comparison["total"]["count"], len(comparison["over_time"])) == ("outcomes", 60, 2)
    assert [part["slice"] for part in comparison["slices"][0]["parts"]] == [
        "0 to 0.5",
        "0.5 to 0.8",
        "0.8 to 0.95",
        "0.95 to 1",
    ]
    lines = CliRunner().invoke(cli, options).stdout.splitlines()
    assert lines[0] == "60 audited outcomes; 60 of 60 are answered"
    assert lines[1] == "rows: all rows for version 1"
    assert "differ on 0 of 60" in lines[4]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--over-time"], "need --off-policy DATASET or --outcomes DATASET"),
        (["--off-policy", "log", "--outcomes", "log"], "choose one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], problem: str) -> None:
    result = CliRunner().invoke(cli, ["evaluate", "decision", *options], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert problem in result.output


def test_a_dataset_without_audited_labels_says_what_is_missing(card: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    result = CliRunner().invoke(cli, ["evaluate", "measured", "--outcomes", str(write_dataset(tmp_path / "log", []))])
    assert isinstance(result.exception, SetupError)
    assert "It has no audited labels" in result.exception.remedy


def test_an_impossible_off_policy_evaluation_has_a_remedy(tmp_path: Path) -> None:
    missing = CliRunner().invoke(cli, ["evaluate", "decision", "--off-policy", str(tmp_path / "none")])
    assert isinstance(missing.exception, SetupError)
    assert "hindsight replay decision --out" in missing.exception.remedy
    other = CliRunner().invoke(cli, ["evaluate", "ocr", "--off-policy", str(tmp_path)])
    assert isinstance(other.exception, SetupError)
    assert "can't be read" in other.exception.remedy


def test_the_help_of_evaluate_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "--help"])
    assert result.exit_code == 0
    assert "hindsight evaluate ocr" in result.output
