import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.embedded import doctor
from app.embedded.settings_table import read_setting_rows
from app.settings import Settings, TaskSettings
from app.settings.former_names import RenamedSettings
from app.settings.gate import GateSettings
from app.settings.retraining import RetrainingSettings
from app.settings.rollout import RolloutSettings
from app.settings.triggers import TriggerSettings
from tests.support.platform import platform_settings

RENAMED: list[tuple[type[RenamedSettings], str, str]] = [
    (model, name, former)
    for model in (TaskSettings, RetrainingSettings, TriggerSettings, GateSettings, RolloutSettings)
    for name, former in model.former_names.items()
]


@pytest.fixture
def former_variable(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set a setting in the environment under its former name."""
    monkeypatch.setenv("HINDSIGHT_KAFKA_DAYS", "3")
    return "HINDSIGHT_KAFKA_DAYS"


def test_a_variable_with_a_former_name_is_read(former_variable: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Settings().kafka_retention_days == 3
    assert caplog.messages == [f"{former_variable} is deprecated: rename it to HINDSIGHT_KAFKA_RETENTION_DAYS."]


def test_an_argument_overrides_a_variable_with_a_former_name(
    former_variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Settings(kafka_retention_days=5).kafka_retention_days == 5
    assert caplog.messages == []


def test_a_variable_that_is_set_under_both_names_is_refused(
    former_variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDSIGHT_KAFKA_RETENTION_DAYS", "3")
    with pytest.raises(ValidationError, match=f"the same setting: remove {former_variable}"):
        Settings()


def test_the_doctor_knows_former_names(tmp_path: Path, former_variable: str) -> None:
    config = platform_settings(tmp_path)
    shown = {row.variable: row.source for row in read_setting_rows(config)}
    assert shown["HINDSIGHT_KAFKA_RETENTION_DAYS"] == "environment"
    assert [check for check in doctor.run_checks(config) if check.name == "settings"] == []


@pytest.mark.parametrize(("model", "name", "former"), RENAMED)
def test_a_key_with_a_former_name_is_read(
    model: type[RenamedSettings], name: str, former: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = model.model_construct().model_dump(mode="json")[name]
    value = {bool: True, list: ["x"], type(None): 0.5}.get(type(value), value)
    if name == "canary_shares":
        value = [0.1, 0.2]
    settings = model.model_validate_json(json.dumps({former: value}))
    assert settings == model.model_validate_json(json.dumps({name: value}))
    assert caplog.messages == [f"{former} is deprecated: rename it to {name}."]


@pytest.mark.parametrize(("model", "name", "former"), RENAMED)
def test_a_key_that_is_set_under_both_names_is_refused(model: type[RenamedSettings], name: str, former: str) -> None:
    with pytest.raises(ValidationError, match=f"{former} and {name} are the same setting: remove {former}"):
        model.model_validate({name: None, former: None})


def test_former_names_are_read_from_the_environment_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    rules: dict[str, Any] = {"all_are_judged": True, "retraining": {"gate": {"outcomes": 7}, "memory_gib": 2}}
    monkeypatch.setenv("HINDSIGHT_TASK_SETTINGS", json.dumps({"ocr": rules}))
    found = Settings().for_task("ocr")
    assert (found.full_feedback, found.retraining.gate.min_outcomes, found.retraining.max_memory_gib) == (True, 7, 2)
