"""Liveness probes: whether the main loop of a process makes progress, not only a thread beside it.

Our own processes write heartbeats (`app.monitoring.heartbeat`). The broker is asked for its metadata, Prometheus and
Alertmanager for their health. Any other line of a Procfile counts as alive while its process runs.
"""

from pathlib import Path

import httpx

from app.embedded import broker, ports
from app.embedded.prometheus import ALERTMANAGER, PROCESS_NAMES, PROMETHEUS
from app.monitoring.heartbeat import heartbeat_path
from app.settings import Settings

BROKER = "kafka"
HEARTBEAT_PROCESSES = frozenset({"preprocess", "mlserver", "worker", "archive", "recorder", "api"})
TIMEOUT_SECONDS = 5.0


class LivenessProbe:
    """Liveness probe of one process."""

    def __init__(self, config: Settings, name: str, http: httpx.AsyncClient) -> None:
        self.waiting_for = ""
        """What the process waits for, by its own report."""
        self._config = config
        self._name = name
        self._http = http
        self._last_heartbeat: tuple[int, int] | None = None

    async def is_alive(self, pid: int) -> bool:
        """Return whether the process answers, or has written a heartbeat since the last call."""
        if self._name == BROKER:
            return await broker.is_reachable(self._config)
        if self._name in PROCESS_NAMES:
            return await self._is_http_healthy()
        if self._name in HEARTBEAT_PROCESSES:
            return self._has_new_heartbeat(pid)
        return True

    def _has_new_heartbeat(self, pid: int) -> bool:
        path = heartbeat_path(self._config.home, pid)
        try:
            heartbeat = pid, path.stat().st_mtime_ns
            if heartbeat == self._last_heartbeat:
                return False
            self.waiting_for = path.read_text()
        except OSError:
            return False
        self._last_heartbeat = heartbeat
        return True

    async def _is_http_healthy(self) -> bool:
        port = {PROMETHEUS: self._config.prometheus_port, ALERTMANAGER: self._config.alertmanager_port}[self._name]
        try:
            response = await self._http.get(f"http://{ports.LOOPBACK}:{port}/-/healthy", timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError:
            return False
        # Alertmanager asks for a password, which shows that it is alive.
        return response.status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED)


def clear_heartbeats(home: Path) -> None:
    """Remove the heartbeats of processes that have ended."""
    for path in (home / "heartbeats").glob("*"):
        path.unlink(missing_ok=True)
