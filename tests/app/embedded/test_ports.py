import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from app.embedded import ports
from app.errors import SetupError
from app.settings import CHECKOUT, Settings
from tests.support.platform import platform_settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def procfile_names() -> set[str]:
    return {line.partition(":")[0] for line in (CHECKOUT / "Procfile").read_text().splitlines()}


def test_every_port_belongs_to_a_process_of_the_procfile() -> None:
    assert set(ports.PROCESS_BY_SETTING.values()) <= procfile_names()


def test_the_defaults_of_all_ports_differ() -> None:
    assert ports.find_conflicts(ports.required_ports(Settings(kafka_bootstrap=""))) == []


def test_the_port_base_moves_every_port_except_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDSIGHT_PORT_BASE", "21000")
    monkeypatch.setenv("HINDSIGHT_KAFKA_PORT", "9092")
    moved, default = Settings(), Settings(port_base=8000)
    assert (moved.api_port, moved.mlserver_http_port, moved.kafka_port) == (21000, 21080, 9092)
    for name in ports.PROCESS_BY_SETTING.keys() - {"kafka_port"}:
        assert getattr(moved, name) - getattr(default, name) == 13_000
    with pytest.raises(ValidationError, match="a port is between 1 and 65535"):
        Settings(port_base=65_000)


def test_an_external_cluster_needs_no_broker_ports(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, kafka_bootstrap="kafka.example:9092")
    assert "kafka" not in {port.process for port in ports.required_ports(config)}


def test_free_ports_are_free_and_distinct(tmp_path: Path) -> None:
    numbers = ports.free_ports(8)
    assert len(set(numbers)) == 8
    assert all(ports.is_free(ports.LOOPBACK, number) for number in numbers)
    ports.check_ports(platform_settings(tmp_path))


def test_the_error_of_a_taken_port_names_its_holder_and_the_setting(tmp_path: Path, taken: int) -> None:
    config = platform_settings(tmp_path, api_port=taken)
    with pytest.raises(SetupError, match=f"Port {taken}, needed by api, is held by process {os.getpid()}") as caught:
        ports.check_ports(config)
    assert "HINDSIGHT_API_PORT=" in caught.value.remedy
    ports.check_ports(config, ["kafka", "worker"])


def test_a_holder_that_this_user_may_not_see_is_another_users(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    def denied(_: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert ports.listening_process(taken) is None
    assert "a process of another user" in ports.describe_process(None)


def test_a_port_that_is_set_twice_is_an_error(tmp_path: Path) -> None:
    config = platform_settings(tmp_path)
    config = config.model_copy(update={"worker_metrics_port": config.api_port})
    with pytest.raises(SetupError, match="HINDSIGHT_WORKER_METRICS_PORT and HINDSIGHT_API_PORT are both"):
        ports.check_ports(config)


def test_an_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"Nothing can listen on 192\.0\.2\.1") as caught:
        ports.check_ports(platform_settings(tmp_path, host="192.0.2.1"))
    assert "HINDSIGHT_HOST" in caught.value.remedy
