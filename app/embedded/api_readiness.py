"""Readiness of the platform, as GET /readyz of its API reports it."""

import asyncio
import time
from dataclasses import dataclass

import httpx

from app.errors import SetupError, describe
from app.settings import Settings
from app.system import api_tls

POLL_SECONDS = 0.2
PROBE_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class PartStatus:
    """Readiness of one part of the platform, as the API reports it."""

    ready: bool
    detail: str


def api_url(config: Settings) -> str:
    """Return the URL at which this machine reaches the API."""
    return f"{api_tls.api_scheme(config)}://{config.host_of('api')}:{config.api_port}"


async def probe_readiness(config: Settings) -> tuple[bool, dict[str, PartStatus]]:
    """Ask once. Return whether all is ready, and each part; an API that does not answer is a part that is not ready."""
    try:
        async with httpx.AsyncClient(
            timeout=PROBE_TIMEOUT_SECONDS, trust_env=False, verify=api_tls.client_verification(config)
        ) as client:
            response = await client.get(f"{api_url(config)}/readyz")
        body = response.json()
        documents = body["parts"] | body.get("tasks", {})
        parts = {name: PartStatus(part["ready"], part["detail"]) for name, part in documents.items()}
        return bool(body["ready"]) and response.status_code == 200, parts
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return False, {"api": PartStatus(False, f"{api_url(config)}/readyz: {describe(error)}")}


async def wait_until_ready(config: Settings, seconds: float) -> None:
    """Wait until the platform is ready. Raises a SetupError that names the parts that are not ready in time."""
    deadline = time.monotonic() + seconds
    while True:
        ready, parts = await probe_readiness(config)
        if ready:
            return
        if time.monotonic() > deadline:
            waiting = "; ".join(f"{name}: {part.detail}" for name, part in parts.items() if not part.ready)
            raise SetupError(
                f"Not ready after {seconds:.0f} s. {waiting}",
                f"Read the logs in {config.home / 'logs'}, one file for each process, and run `hindsight doctor`.",
            )
        await asyncio.sleep(POLL_SECONDS)
