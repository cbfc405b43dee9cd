"""Real orchestrators for tests, each in an environment of its own: their packages conflict with ours."""

import asyncio
import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from app.embedded import ports
from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment

_INSTALL_SECONDS = 600.0
_START_SECONDS = 120.0

USER = "hindsight"


async def install_environment(folder: str) -> Path:
    """Install docker/FOLDER/requirements.txt into an environment in the cache directory, once; return its Python."""
    requirements = CHECKOUT / "docker" / folder / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    directory = Settings().cache / "environments" / f"{folder}-{digest}"
    python = directory / "bin" / "python"
    if not (directory / "whole").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        await _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
        await _run(uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements))
        (directory / "whole").touch()
    return python


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await asyncio.wait_for(process.wait(), _INSTALL_SECONDS) == 0, words


def steps_environment(settings: Settings, python: Path) -> dict[str, str]:
    """Return the environment of an orchestrator's worker: these settings, and the path of Hindsight."""
    return process_environment(settings) | {
        "HINDSIGHT_CHECKOUT": str(CHECKOUT),
        "HINDSIGHT_PYTHON": sys.executable,
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
    }


class Airflow:
    """An Airflow on ports of its own, with the DAG of docker/airflow, one user, and SQLite."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self._log_port = ports.free_ports(2)
        self.password, self._secret = secrets.token_hex(16), secrets.token_hex(32)

    @property
    def url(self) -> str:
        """Return the URL of its API server."""
        return f"http://127.0.0.1:{self.port}"

    async def run_command(self, settings: Settings, *words: str, seconds: float = 240) -> str:
        """Run `airflow ...` and return its output; fail unless it exits with 0."""
        python = await install_environment("airflow")
        process = await asyncio.create_subprocess_exec(
            *(str(python.with_name("airflow")), *words),
            env=self._environment(settings, python),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await asyncio.wait_for(process.communicate(), seconds))[0].decode()
        assert process.returncode == 0, output
        return output

    @asynccontextmanager
    async def run_services(self, settings: Settings) -> AsyncIterator[None]:
        """Run all of its processes for as long as the block lasts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "passwords.json").write_text(json.dumps({USER: self.password}))
        python = await install_environment("airflow")
        with (self.directory / "standalone.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())),
                *(str(python.with_name("airflow")), "standalone"),
                env=self._environment(settings, python),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await self._wait_until_ready(process)
            yield
        finally:
            await end_session(process)

    async def dag_run_states(self) -> dict[str, str]:
        """Return the states of all DAG runs, by their ids."""
        async with self._client() as http:
            answer = await http.get("/api/v2/dags/hindsight_retraining/dagRuns")
        return {run["dag_run_id"]: run["state"] for run in answer.raise_for_status().json()["dag_runs"]}

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Return once it knows the DAG."""
        async with asyncio.timeout(_START_SECONDS):
            while process.returncode is None:
                with suppress(httpx.HTTPError):
                    async with self._client() as http:
                        if (await http.get("/api/v2/dags/hindsight_retraining")).is_success:
                            return
                await asyncio.sleep(0.5)
        raise AssertionError(f"Airflow has not started: see {self.directory}/standalone.log")

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=10) as http:
            body = {"username": USER, "password": self.password}
            token = (await http.post("/auth/token", json=body)).raise_for_status().json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            yield http

    def _environment(self, settings: Settings, python: Path) -> dict[str, str]:
        values = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": CHECKOUT / "docker" / "airflow" / "dags",
            "CORE__PARALLELISM": 2,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.directory / "passwords.json",
            "API__HOST": "127.0.0.1",
            "API__PORT": self.port,
            "API__WORKERS": 1,
            "API__SECRET_KEY": self._secret,
            "API_AUTH__JWT_SECRET": self._secret,
            "LOGGING__WORKER_LOG_SERVER_PORT": self._log_port,
        }
        variables = {f"AIRFLOW__{name}": str(value) for name, value in values.items()}
        return steps_environment(settings, python) | {"AIRFLOW_HOME": str(self.directory)} | variables


async def end_session(process: asyncio.subprocess.Process) -> None:
    """End a process that leads a session, and all processes of the session."""
    if process.returncode is None:
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
