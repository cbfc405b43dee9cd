from pathlib import Path

import pytest

from app.embedded import broker
from app.embedded.prometheus import PROMETHEUS, write_config
from app.embedded.settings_table import read_setting_rows
from app.settings import Settings
from app.settings.hosts import reachable_host
from tests.support.platform import platform_settings


@pytest.mark.parametrize(
    ("bound", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("fd00::1", "[fd00::1]"), ("10.0.0.5", "10.0.0.5"), ("api", "api")],
)
def test_a_server_is_reached_at_the_address_that_it_binds_to_or_over_loopback(bound: str, reached: str) -> None:
    assert reachable_host(bound) == reached


def test_a_process_may_be_reached_at_another_host_than_it_binds_to(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, mlserver_host="0.0.0.0", process_hosts={"mlserver": "models"})
    assert (config.bind_host("mlserver"), config.host_of("mlserver")) == ("0.0.0.0", "models")
    assert (config.bind_host("worker"), config.host_of("worker")) == ("127.0.0.1", "127.0.0.1")


def test_prometheus_scrapes_a_process_at_its_own_host(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, process_hosts={"worker": "worker-1"})
    assert f"worker-1:{config.worker_metrics_port}" in write_config(config, PROMETHEUS).read_text()


def test_the_broker_of_a_container_advertises_the_hosts_of_the_platform_and_of_applications(tmp_path: Path) -> None:
    config = platform_settings(
        tmp_path, kafka_host="0.0.0.0", kafka_advertised_host="broker.example", process_hosts={"kafka": "kafka"}
    )
    lines = broker.write_properties(config).read_text().splitlines()
    [listeners] = [line for line in lines if line.startswith("listeners=")]
    [advertised] = [line for line in lines if line.startswith("advertised.listeners=")]
    public, platform = config.kafka_port, config.kafka_platform_port
    assert f"PLAINTEXT://0.0.0.0:{public},PLATFORM://0.0.0.0:{platform},CONTROLLER://127.0.0.1" in listeners
    assert advertised.endswith(f"PLAINTEXT://broker.example:{public},PLATFORM://kafka:{platform}")


def test_a_setting_is_read_from_a_file_unless_a_variable_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hindsight_api_key").write_text("of the file\n")
    (tmp_path / "hindsight_mlserver_token").write_text("of the file\n")
    monkeypatch.setenv("HINDSIGHT_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("HINDSIGHT_MLSERVER_TOKEN", "of the variable")
    config = Settings()
    assert config.api_key is not None
    assert config.mlserver_token is not None
    assert config.api_key.get_secret_value() == "of the file"
    assert config.mlserver_token.get_secret_value() == "of the variable"
    sources = {row.variable: row.source for row in read_setting_rows(config)}
    assert (sources["HINDSIGHT_API_KEY"], sources["HINDSIGHT_MLSERVER_TOKEN"]) == ("file", "environment")
