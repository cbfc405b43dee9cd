"""The composed platform under Podman: images built here, and `docker/compose.yaml` as it is."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.embedded import ports
from app.settings import CHECKOUT
from models.small import SMALL_TASKS

BASE = "docker.io/library/debian:bookworm-slim"
SERVERS = ("postgres", "s3", "prometheus", "alertmanager")
FOREIGN = ("grafana",)
"""Services whose program Debian does not have."""
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
NETWORK_DNS = Path("/usr/lib/podman/aardvark-dns")
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
SHOW_LOGS = """
podman ps --all --format '{{.Names}}' | while read -r name; do echo "--- $name"; podman logs --tail 9 $name; done 2>&1
"""
PODMAN_COMPOSE = "podman-compose==1.6.0"
_BUILD = ("buildah", "bud", "--isolation", "chroot", "--format", "docker", "--layers", "--pull-never")


def run(*command: str | Path, **options: Any) -> str:
    """Run a command; raise an AssertionError with its output if it fails. Return its standard output."""
    result: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, f"{command}: {result.stdout[-4000:]}{result.stderr[-4000:]}"
    return result.stdout


def build_images(directory: Path) -> None:
    """Build the images: Debian's base from its packages, ours by `docker/Dockerfile`, and the servers' stand-ins."""
    versitygw = shutil.which("versitygw")
    assert versitygw, f"versitygw is not on PATH. Remedy: go install {VERSITYGW}"
    assert NETWORK_DNS.exists(), "containers can't find each other. Remedy: apt install aardvark-dns netavark"
    assert os.geteuid() == 0, "only root can build and run these containers"
    if BASE not in run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}"):
        _make_base(directory)
    for target, tag in (("runtime", "hindsight"), ("train", "hindsight-train")):
        run(*_BUILD, "--target", target, "--tag", f"localhost/{tag}", "--file", "docker/Dockerfile", ".", cwd=CHECKOUT)
    shutil.copy(versitygw, directory)
    for name in ("servers.Dockerfile", "postgres.sh"):
        shutil.copy(Path(__file__).with_name(name), directory)
    for name in SERVERS:
        run(*_BUILD, "--target", name, "--tag", f"localhost/{name}", "--file", "servers.Dockerfile", ".", cwd=directory)


def _make_base(directory: Path) -> None:
    """Make Debian's image of its packages, with this machine's certificate authorities."""
    archive = directory / "base.tar"
    run("mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", archive)
    run("podman", "import", archive, BASE)
    archive.unlink()
    if authorities := os.environ.get("SSL_CERT_FILE"):
        container = run("buildah", "from", "--pull-never", BASE).strip()
        run("buildah", "copy", container, authorities, authorities)
        variables = [f"--env={name}={authorities}" for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")]
        run("buildah", "config", *variables, container)
        run("buildah", "commit", "--rm", container, BASE)


class ComposedPlatform:
    """`docker/compose.yaml` with ports, secrets and volumes of its own, and the small tasks."""

    def __init__(self, directory: Path) -> None:
        self.api_port, self.kafka_port, prometheus_port = ports.free_ports(3)
        self.secrets = Path(tempfile.mkdtemp(dir=directory))
        (directory / "containers.conf").write_text(CONTAINERS_CONF)
        images = {f"{name.upper()}_IMAGE": f"localhost/{name}" for name in SERVERS}
        self._environment = {
            **os.environ,
            **images,
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "HINDSIGHT_IMAGE": "localhost/hindsight",
            "HINDSIGHT_TRAIN_IMAGE": "localhost/hindsight-train",
            "HINDSIGHT_SECRETS": str(self.secrets),
            "HINDSIGHT_API_PORT": str(self.api_port),
            "HINDSIGHT_KAFKA_PORT": str(self.kafka_port),
            "HINDSIGHT_PROMETHEUS_PORT": str(prometheus_port),
            "HINDSIGHT_TASKS": json.dumps(SMALL_TASKS),
        }
        run(CHECKOUT / "docker" / "secrets.sh", env=self._environment)

    @property
    def api_key(self) -> str:
        """The key of the API."""
        return (self.secrets / "hindsight_api_key").read_text()

    def up(self) -> None:
        """Start all services but the foreign ones."""
        text = run(*self._compose, "config", "--services", env=self._environment)
        self.compose("up", "--detach", *(name for name in text.split() if name not in FOREIGN))

    def down(self, *options: str) -> None:
        """Remove the containers; the volumes stay."""
        self.compose("down", *options)

    def compose(self, *arguments: str) -> str:
        """Run podman-compose."""
        return run(*self._compose, *arguments, env=self._environment)

    def python(self, service: str, code: str) -> Any:
        """Run a program in a container of the service, and return the JSON that it prints."""
        return json.loads(self.compose("exec", "-T", service, "python", "-c", code))

    def state(self) -> str:
        """Describe the containers and the end of their logs, for the message of a failure."""
        logs = run("sh", "-c", SHOW_LOGS, env=self._environment)
        return f"{self.compose('ps')}\n{logs}"

    @property
    def _compose(self) -> tuple[str, ...]:
        uvx = str(Path(sys.executable).with_name("uvx"))
        file = str(CHECKOUT / "docker" / "compose.yaml")
        tool = (uvx, "--quiet", "--from", PODMAN_COMPOSE, "podman-compose", "--in-pod", "false")
        return (*tool, "--project-name", "hindsight-test", "--file", file)
