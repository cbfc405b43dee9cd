import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from app.auth import local_key
from app.embedded import prometheus as monitoring
from app.embedded.ports import LOOPBACK
from app.settings import Settings
from tests.support.platform import platform_settings


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return platform_settings(tmp_path, api_key=SecretStr("secret"), scrape_seconds=2.5)


def on_path(directory: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Put these programs on PATH, and nothing else."""
    for name in names:
        (directory / name).touch(0o755)
    monkeypatch.setenv("PATH", str(directory))


def read_config(config: Settings, name: str) -> Any:
    return yaml.safe_load(monitoring.write_config(config, name).read_text())


def test_prometheus_scrapes_every_process_at_this_deployments_ports(config: Settings) -> None:
    document = read_config(config, monitoring.PROMETHEUS)
    targets = {job["job_name"]: job["static_configs"] for job in document["scrape_configs"]}
    ports = {
        "kafka": config.kafka_metrics_port,
        "preprocess": config.preprocess_metrics_port,
        "mlserver": config.mlserver_metrics_port,
        "worker": config.worker_metrics_port,
        "archive": config.archive_metrics_port,
        "recorder": config.recorder_metrics_port,
        "api": config.api_port,
    }
    assert targets == {f"hindsight-{name}": [{"targets": [f"127.0.0.1:{port}"]}] for name, port in ports.items()}
    assert document["global"]["scrape_interval"] == "2500ms"
    [alertmanagers] = document["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": [f"127.0.0.1:{config.alertmanager_port}"]}]


def test_an_external_broker_is_not_scraped(tmp_path: Path) -> None:
    document = read_config(platform_settings(tmp_path, kafka_bootstrap="kafka:9092"), monitoring.PROMETHEUS)
    assert "hindsight-kafka" not in {job["job_name"] for job in document["scrape_configs"]}


def test_a_home_of_any_name_has_its_own_rules(tmp_path: Path) -> None:
    document = read_config(platform_settings(tmp_path, home=tmp_path / "my home"), monitoring.PROMETHEUS)
    assert document["rule_files"][-1] == f"{(tmp_path / 'my home').resolve()}/rules/*.yml"
    assert len(list(Path("/").glob(document["rule_files"][0][1:]))) > 1


def test_the_apis_key_is_in_a_file_readable_by_its_owner_only_and_in_no_configuration(config: Settings) -> None:
    prometheus, alertmanager = (read_config(config, name) for name in sorted(monitoring.PROCESS_NAMES, reverse=True))
    [job] = [job for job in prometheus["scrape_configs"] if job["job_name"] == "hindsight-api"]
    [webhook] = alertmanager["receivers"][0]["webhook_configs"]
    assert webhook["url"] == f"http://127.0.0.1:{config.api_port}/v1/alerts"
    key = Path(job["authorization"]["credentials_file"])
    assert webhook["http_config"]["authorization"]["credentials_file"] == str(key)
    assert key.read_text() == "secret"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "secret" not in f"{prometheus} {alertmanager}"


def test_without_a_key_in_the_settings_the_deployments_own_key_is_sent(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    [webhook] = read_config(config, monitoring.ALERTMANAGER)["receivers"][0]["webhook_configs"]
    assert Path(webhook["http_config"]["authorization"]["credentials_file"]).read_text() == local_key.load_key(config)


@pytest.mark.parametrize("name", ["prometheus-alertmanager", "alertmanager"])
def test_alertmanager_is_found_by_debians_name_and_by_its_original_name(
    name: str, tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, monkeypatch, name)
    command = monitoring.build_command(config, monitoring.ALERTMANAGER)
    assert command[0] == str(tmp_path / name)
    assert f"--web.listen-address={LOOPBACK}:{config.alertmanager_port}" in command
    assert "--cluster.listen-address=" in command  # no cluster port


def test_a_program_that_is_missing_or_has_no_port_is_unavailable_with_the_reason(
    tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, monkeypatch, "alertmanager")
    with socket.create_server((LOOPBACK, config.alertmanager_port)):
        reasons = monitoring.unavailable_processes(config, ["api", *monitoring.PROCESS_NAMES])
    assert reasons == {
        "prometheus": "it is not on PATH",
        "alertmanager": f"port {config.alertmanager_port} is taken, HINDSIGHT_ALERTMANAGER_PORT sets another",
    }
    assert monitoring.unavailable_processes(config, ["alertmanager"]) == {}
    assert monitoring.unavailable_processes(config, ["api"]) == {}


def test_a_program_that_is_not_on_path_has_no_command(
    tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, monkeypatch)
    with pytest.raises(FileNotFoundError, match="prometheus is not on PATH"):
        monitoring.build_command(config, monitoring.PROMETHEUS)


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_written_configuration(config: Settings) -> None:
    path = monitoring.write_config(config, monitoring.PROMETHEUS)
    monitoring.write_config(config, monitoring.ALERTMANAGER)
    result = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 rule files found" in result.stdout
