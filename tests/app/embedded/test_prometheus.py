import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from app.auth import local_key
from app.embedded import prometheus as watchers
from app.embedded.ports import LOOPBACK
from app.settings import Settings
from tests.support.platform import platform_settings


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return platform_settings(tmp_path, api_key=SecretStr("secret"), scrape_seconds=2.5)


def on_path(directory: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make these, and nothing else, programs that are on PATH."""
    for name in names:
        (directory / name).touch(0o755)
    monkeypatch.setenv("PATH", str(directory))


def written(config: Settings, name: str) -> Any:
    return yaml.safe_load(watchers.write_config(config, name).read_text())


def test_prometheus_reads_every_process_at_this_deployments_ports(config: Settings) -> None:
    made = written(config, watchers.PROMETHEUS)
    targets = {one["job_name"]: one["static_configs"] for one in made["scrape_configs"]}
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
    assert made["global"]["scrape_interval"] == "2500ms"
    [alertmanagers] = made["alerting"]["alertmanagers"]
    assert alertmanagers["static_configs"] == [{"targets": [f"127.0.0.1:{config.alertmanager_port}"]}]


def test_the_broker_of_others_is_not_scraped(tmp_path: Path) -> None:
    made = written(platform_settings(tmp_path, kafka_bootstrap="kafka:9092"), watchers.PROMETHEUS)
    assert "hindsight-kafka" not in {one["job_name"] for one in made["scrape_configs"]}


def test_a_home_of_any_name_has_rules_of_its_own(tmp_path: Path) -> None:
    made = written(platform_settings(tmp_path, home=tmp_path / "my home"), watchers.PROMETHEUS)
    assert made["rule_files"][-1] == f"{(tmp_path / 'my home').resolve()}/rules/*.yml"
    assert len(list(Path("/").glob(made["rule_files"][0][1:]))) > 1


def test_the_apis_key_is_in_a_file_for_its_owner_alone_and_in_no_configuration(config: Settings) -> None:
    prometheus, alertmanager = (written(config, name) for name in sorted(watchers.PROCESS_NAMES, reverse=True))
    [api] = [one for one in prometheus["scrape_configs"] if one["job_name"] == "hindsight-api"]
    [hook] = alertmanager["receivers"][0]["webhook_configs"]
    assert hook["url"] == f"http://127.0.0.1:{config.api_port}/v1/alerts"
    key = Path(api["authorization"]["credentials_file"])
    assert hook["http_config"]["authorization"]["credentials_file"] == str(key)
    assert key.read_text() == "secret"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "secret" not in f"{prometheus} {alertmanager}"


def test_without_a_key_in_the_settings_the_deployments_own_is_said(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    [hook] = written(config, watchers.ALERTMANAGER)["receivers"][0]["webhook_configs"]
    assert Path(hook["http_config"]["authorization"]["credentials_file"]).read_text() == local_key.load_key(config)


@pytest.mark.parametrize("name", ["prometheus-alertmanager", "alertmanager"])
def test_alertmanager_is_found_by_debians_name_and_by_its_own(
    name: str, tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, monkeypatch, name)
    line = watchers.build_command(config, watchers.ALERTMANAGER)
    assert line[0] == str(tmp_path / name)
    assert f"--web.listen-address={LOOPBACK}:{config.alertmanager_port}" in line
    assert "--cluster.listen-address=" in line  # a cluster of one listens to nobody


def test_what_is_not_there_or_has_no_port_is_absent_with_the_reason(
    tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(tmp_path, monkeypatch, "alertmanager")
    with socket.create_server((LOOPBACK, config.alertmanager_port)):
        reasons = watchers.unavailable_processes(config, ["api", *watchers.PROCESS_NAMES])
    assert reasons == {
        "prometheus": "it is not on PATH",
        "alertmanager": f"port {config.alertmanager_port} is taken, HINDSIGHT_ALERTMANAGER_PORT sets another",
    }
    assert watchers.unavailable_processes(config, ["alertmanager"]) == {}
    assert watchers.unavailable_processes(config, ["api"]) == {}


def test_what_is_not_on_path_has_no_command(tmp_path: Path, config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(tmp_path, monkeypatch)
    with pytest.raises(FileNotFoundError, match="prometheus is not on PATH"):
        watchers.build_command(config, watchers.PROMETHEUS)


@pytest.mark.needs("promtool")
def test_promtool_finds_what_is_written_right(config: Settings) -> None:
    path = watchers.write_config(config, watchers.PROMETHEUS)
    watchers.write_config(config, watchers.ALERTMANAGER)
    said = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "2 rule files found" in said.stdout
