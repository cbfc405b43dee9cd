"""A platform of one's own for a test: free ports, a temporary home, any part of the Procfile."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.embedded import ports
from app.embedded.environment import environment
from app.embedded.supervisor import Provision, Supervisor
from app.settings import Settings

__all__ = ["environment", "pids", "platform_settings", "running"]


def platform_settings(tmp_path: Path, **overrides: Any) -> Settings:
    """Settings with a home in tmp_path and every port free."""
    numbers = ports.free_ports(len(ports.OWNERS))
    values: dict[str, Any] = {"home": tmp_path / "home", "demo": False, "kafka_heap": "256m"}
    return Settings(**(values | dict(zip(ports.OWNERS, numbers, strict=True)) | overrides))


def pids(config: Settings) -> dict[str, int]:
    """The process ids of the platform's processes, as its supervisor wrote them down."""
    found: dict[str, int] = json.loads((config.home / "processes.json").read_text())
    return found


@asynccontextmanager
async def running(
    config: Settings, only: Collection[str] = ("kafka",), provision: Provision | None = None
) -> AsyncIterator[Supervisor]:
    """A supervisor that runs these processes of the Procfile for as long as the block lasts."""
    supervisor = Supervisor(config, only=only, provision=provision)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()
