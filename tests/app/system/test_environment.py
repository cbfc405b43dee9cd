import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import CHECKOUT
from app.system.environment import process_environment, setting_variables
from tests.support.platform import platform_settings


def test_a_process_reads_the_same_settings_from_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDSIGHT_API_KEY", "of another deployment")
    tasks = {"ocr": "models.small.ocr:Ocr", "mine": "mine:Mine"}
    config = platform_settings(tmp_path, tasks=tasks, api_key=SecretStr("a secret"), batch_seconds=0.25, demo=False)
    code = "from app.settings import settings; s = settings(); print(s.model_dump_json(), s.api_key.get_secret_value())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=process_environment(config),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == f"{config.model_dump_json()} a secret"


def test_a_setting_that_is_none_is_left_out(tmp_path: Path) -> None:
    assert "HINDSIGHT_API_KEY" not in setting_variables(platform_settings(tmp_path, api_key=None))


def test_our_python_is_first_on_path(tmp_path: Path) -> None:
    assert process_environment(platform_settings(tmp_path))["PATH"].startswith(str(Path(sys.executable).parent))
