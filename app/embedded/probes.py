"""Asks each process whether it lives: its main loop, not a thread beside it.

Our own processes write heartbeats (`app.monitoring.heartbeat`), the broker is asked for its metadata, Prometheus and
Alertmanager for their health. Of any other line of a Procfile all that is known is that it runs.
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
    """Of one process."""

    def __init__(self, config: Settings, name: str, http: httpx.AsyncClient) -> None:
        self.waiting_for = ""
        """What the process says that it waits for."""
        self._config = config
        self._name = name
        self._http = http
        self._last_heartbeat: tuple[int, int] | None = None

    async def is_alive(self, pid: int) -> bool:
        """Whether it has answered, or beaten since the last time."""
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
            beat = pid, path.stat().st_mtime_ns
            if beat == self._last_heartbeat:
                return False
            self.waiting_for = path.read_text()
        except OSError:
            return False
        self._last_heartbeat = beat
        return True

    async def _is_http_healthy(self) -> bool:
        port = {PROMETHEUS: self._config.prometheus_port, ALERTMANAGER: self._config.alertmanager_port}[self._name]
        try:
            answer = await self._http.get(f"http://{ports.LOOPBACK}:{port}/-/healthy", timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError:
            return False
        # Alertmanager asks for a password: that it asks says that it lives.
        return answer.status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED)


def clear_heartbeats(home: Path) -> None:
    """Remove the heartbeats of processes that are no more."""
    for path in (home / "heartbeats").glob("*"):
        path.unlink(missing_ok=True)
