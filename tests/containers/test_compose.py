"""`docker/compose.yaml` and `docker/Dockerfile` agree with the Procfile, the settings and Prometheus' configuration."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from app.settings import CHECKOUT, Settings

FOLDER = CHECKOUT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCESSES = parse_procfile((CHECKOUT / "Procfile").read_text()).processes
SERVERS = {"postgres", "s3", "prometheus", "alertmanager", "grafana"}
OWN = SERVICES.keys() - SERVERS
TEXT = (FOLDER / "compose.yaml").read_text()
VARIABLE = re.compile(r"\$\{(\w+)")


def test_each_process_of_the_procfile_is_a_service() -> None:
    assert PROCESSES.keys() | SERVERS | {"provision"} == SERVICES.keys()


@pytest.mark.parametrize("name", sorted(OWN - {"kafka", "provision"}))
def test_a_service_runs_the_command_of_the_procfile(name: str) -> None:
    assert " ".join(SERVICES[name]["command"]) == PROCESSES[name]


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_service_sets_only_settings_that_exist(name: str) -> None:
    variables = SERVICES[name]["environment"].keys() | set(SERVICES[name]["secrets"])
    known = {f"HINDSIGHT_{field}".upper() for field in Settings.model_fields}
    assert {variable.upper() for variable in variables} - known == set()


@pytest.mark.parametrize("name", sorted(OWN - {"kafka"}))
def test_a_services_environment_is_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, str(tmp_path) if variable == "HINDSIGHT_SECRETS_DIR" else value)
    config = Settings()
    processes = OWN - {"provision"}
    assert {process: config.host_of(process) for process in processes} == {process: process for process in processes}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_a_limit_of_memory_and_publishes_its_ports_on_loopback_only(name: str) -> None:
    service = SERVICES[name]
    assert "mem_limit" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(OWN | {"s3"}))
def test_a_service_has_a_read_only_root_and_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_home_of_a_service_can_be_written_to(name: str) -> None:
    service = SERVICES[name]
    places = [place.split(":") for place in [*service["tmpfs"], *service.get("volumes", [])]]
    assert any("/var/lib/hindsight" in place[:2] for place in places)


def test_a_secret_is_a_file_that_the_script_makes_and_is_never_in_the_environment() -> None:
    script = (FOLDER / "secrets.sh").read_text()
    assert all(re.search(rf"\b{name}\b", script) for name in COMPOSE["secrets"])
    secret = {name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    environment = {variable for name in OWN for variable in SERVICES[name]["environment"]}
    assert not environment & {f"HINDSIGHT_{name}" for name in secret}


def test_the_example_of_the_environment_lists_each_variable_of_our_own() -> None:
    example = (FOLDER / "env.example").read_text()
    passed = {name for service in OWN for name, value in SERVICES[service]["environment"].items() if value is None}
    ours = {name for name in VARIABLE.findall(TEXT) if not name.endswith("_IMAGE") or name.startswith("HINDSIGHT_")}
    assert {name for name in passed | ours if f"#{name}=" not in example} == set()


def test_prometheus_scrapes_each_process_at_its_service_and_its_port() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    config = Settings(port_base=8000)
    for job in jobs:
        name = job["job_name"].removeprefix("hindsight-")
        port = config.api_port if name == "api" else getattr(config, f"{name}_metrics_port")
        [target] = job.get("static_configs") or job["dns_sd_configs"]
        assert target.get("targets", [f"{target.get('names', [''])[0]}:{target.get('port')}"]) == [f"{name}:{port}"]
    assert {job["job_name"] for job in jobs} == {f"hindsight-{name}" for name in OWN - {"provision"}}


def test_the_image_has_what_the_checkout_is_asked_for_at_run_time() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    needed = ["agents", "app", "migrations", "models", "tables", "Procfile", "docker/prometheus", "docker/kubeflow"]
    assert [path for path in needed if f"!{path}" not in ignored] == []


def test_the_image_runs_as_an_ordinary_user_with_the_locked_packages_of_the_makefiles_uv() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    makefile = (CHECKOUT / "Makefile").read_text()
    [version] = re.findall(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)
    assert f"ARG UV_VERSION={version}\n" in text
    assert all("--frozen" in line for line in text.splitlines() if "uv sync" in line)
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    users = {stage.split()[2]: re.findall(r"^USER (\S+)$", stage, re.MULTILINE) for stage in stages if " AS " in stage}
    assert (users["runtime"][-1], users["train"][-1]) == ("65532:65532", "65532:65532")
