import json
import socket
from pathlib import Path

import pytest

from app.commands import doctor
from tests.support.platform import platform_settings


@pytest.mark.parametrize("as_json", [True, False])
def test_the_report_contains_the_checks_and_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    config = platform_settings(tmp_path, tasks={"mine": "mine:Mine"})
    assert doctor.print_report(config, as_json) == 0
    output = capsys.readouterr().out
    assert "HINDSIGHT_KAFKA_PORT" in output
    assert "mine:Mine" in output
    if as_json:
        assert {check["status"] for check in json.loads(output)["checks"]} <= {"ok", "warn"}


def test_the_report_of_a_failed_check_ends_with_1_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = platform_settings(tmp_path)
    with socket.create_server(("127.0.0.1", config.api_port)):
        assert doctor.print_report(config, False) == 1
    assert "HINDSIGHT_API_PORT=" in capsys.readouterr().out
