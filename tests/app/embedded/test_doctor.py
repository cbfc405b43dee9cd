import json
import socket
import sys
from pathlib import Path

import find_libpython
import pytest
from pydantic import SecretStr

from app.embedded import doctor
from app.embedded.settings_table import read_setting_rows
from app.settings import Settings
from app.system import disk, jars
from tests.support.platform import platform_settings


def named(config: Settings) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.run_checks(config)}


def test_a_machine_that_is_well(tmp_path: Path) -> None:
    found = named(platform_settings(tmp_path))
    assert {check.name for check in found.values() if check.status == "fail"} == set()
    assert found["python"].status == "ok"
    assert "21" in found["java"].detail
    assert "not running" in found["platform"].detail


def test_each_trouble_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    monkeypatch.setattr(disk, "free", lambda _: 0)
    monkeypatch.setattr(jars, "settings", lambda: Settings(cache=tmp_path / "cache"))
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    monkeypatch.setenv("HINDSIGHT_KAFKA_PROT", "9")
    found = named(platform_settings(tmp_path))
    assert {name for name, check in found.items() if check.status == "fail"} == {
        *("python", "disk", "home", "blobs", "flink")
    }
    assert {name for name, check in found.items() if check.status == "warn"} == {"jars", "settings"}
    assert all(check.remedy for check in found.values() if check.status != "ok")


def test_a_blob_storage_that_can_be_used(storage: Settings) -> None:
    assert named(storage)["blobs"] == doctor.Check("blobs", "ok", f"{storage.blob_store_url} can be read and written")


def test_a_blob_storage_that_cannot_be_reached(tmp_path: Path) -> None:
    keys = {"s3_access_key": SecretStr("access"), "s3_secret_key": SecretStr("secret")}
    config = platform_settings(tmp_path, blob_url="s3://bucket", s3_endpoint="http://127.0.0.1:1", **keys)
    found = named(config)["blobs"]
    assert found.status == "fail"
    assert "s3://bucket can't be used: no S3 server answers" in found.detail
    assert "HINDSIGHT_S3_ENDPOINT" in found.remedy


def test_a_cluster_that_cannot_be_reached(tmp_path: Path) -> None:
    found = named(platform_settings(tmp_path, kafka_bootstrap="127.0.0.1:1"))
    assert found["kafka"].status == "fail"


def test_settings_are_shown_with_their_source_and_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDSIGHT_API_KEY", "secret")
    config = platform_settings(
        tmp_path, api_key=SecretStr("secret"), kafka_bootstrap="", blob_url="s3://me:password@store/x"
    )
    shown = {setting.variable: setting for setting in read_setting_rows(config)}
    assert shown["HINDSIGHT_API_KEY"].value == "********"
    assert shown["HINDSIGHT_API_KEY"].source == "environment"
    assert shown["HINDSIGHT_BATCH_SIZE"].source == "default"
    assert shown["HINDSIGHT_BLOB_URL"].value == "s3://me:********@store/x"


@pytest.mark.parametrize("as_json", [True, False])
def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    config = platform_settings(tmp_path, tasks={"mine": "mine:Mine"})
    assert doctor.print_report(config, as_json) == 0
    said = capsys.readouterr().out
    assert "HINDSIGHT_KAFKA_PORT" in said
    assert "mine:Mine" in said
    if as_json:
        assert {check["status"] for check in json.loads(said)["checks"]} <= {"ok", "warn"}


def test_a_port_that_another_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = platform_settings(tmp_path)
    with socket.create_server(("127.0.0.1", config.api_port)):
        assert doctor.print_report(config, False) == 1
    assert "HINDSIGHT_API_PORT=" in capsys.readouterr().out
