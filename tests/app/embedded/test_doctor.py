import socket
import sys
from pathlib import Path

import find_libpython
import pytest
from pydantic import SecretStr

from app.embedded import doctor
from app.settings import Settings
from app.system import disk, jars
from tests.support.packaged_task import entry, write_task, write_version
from tests.support.platform import platform_settings


def checks_by_name(config: Settings) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.run_checks(config)}


def test_no_check_fails_on_a_healthy_machine(tmp_path: Path) -> None:
    checks = checks_by_name(platform_settings(tmp_path))
    assert {check.name for check in checks.values() if check.status == "fail"} == set()
    assert checks["python"].status == "ok"
    assert "21" in checks["java"].detail
    assert "not running" in checks["platform"].detail


def test_each_problem_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    monkeypatch.setattr(disk, "free", lambda _: 0)
    monkeypatch.setattr(jars, "settings", lambda: Settings(cache=tmp_path / "cache"))
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    monkeypatch.setenv("HINDSIGHT_KAFKA_PROT", "9")
    checks = checks_by_name(platform_settings(tmp_path))
    assert {name for name, check in checks.items() if check.status == "fail"} == {
        *("python", "disk", "home", "blobs", "flink")
    }
    assert {name for name, check in checks.items() if check.status == "warn"} == {"jars", "settings"}
    assert all(check.remedy for check in checks.values() if check.status != "ok")


def test_weights_that_are_missing_or_damaged_are_reported_with_their_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    config = platform_settings(tmp_path, cache=tmp_path / "cache", tasks={"weighty": write_task(tmp_path, "weighty")})
    files = {"a.bin": entry(b"weights", "pypi reader==1.0", "a.bin")}
    write_version(tmp_path / "weighty" / "versions" / "1", files)
    check = checks_by_name(config)["weights: weighty"]
    assert (check.status, check.remedy) == ("warn", "Fetch them with `hindsight models pull weighty`.")
    assert "version 1: a.bin missing or damaged" in check.detail


def test_a_blob_storage_that_can_be_used_is_ok(storage: Settings) -> None:
    check = checks_by_name(storage)["blobs"]
    assert check == doctor.Check("blobs", "ok", f"{storage.blob_store_url} can be read and written")


def test_a_blob_storage_that_cannot_be_reached_fails_with_a_remedy(tmp_path: Path) -> None:
    keys = {"s3_access_key": SecretStr("access"), "s3_secret_key": SecretStr("secret")}
    config = platform_settings(tmp_path, blob_url="s3://bucket", s3_endpoint="http://127.0.0.1:1", **keys)
    check = checks_by_name(config)["blobs"]
    assert check.status == "fail"
    assert "s3://bucket can't be used: no S3 server answers" in check.detail
    assert "HINDSIGHT_S3_ENDPOINT" in check.remedy


def test_a_cluster_that_cannot_be_reached_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BROKER_SECONDS", 0.5)
    assert checks_by_name(platform_settings(tmp_path, kafka_bootstrap="127.0.0.1:1"))["kafka"].status == "fail"


def test_a_port_that_another_process_holds_fails_with_another_port_as_remedy(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    with socket.create_server(("127.0.0.1", config.api_port)):
        check = checks_by_name(config)[f"port {config.api_port}"]
    assert check.status == "fail"
    assert "HINDSIGHT_API_PORT=" in check.remedy
