"""Whether the platform is ready: what GET /readyz of its API says."""

import asyncio
import ipaddress
import time
from dataclasses import dataclass

import httpx

from app.errors import SetupError
from app.settings import Settings
from app.system import api_tls

POLL_SECONDS = 0.2
PROBE_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class PartStatus:
    """One part of the platform, as the API sees it."""

    ready: bool
    detail: str


def api_url(config: Settings) -> str:
    """Where this machine reaches the API; a server bound to all addresses is reached by the loopback one."""
    return f"{api_tls.api_scheme(config)}://{reachable_host(config.host)}:{config.api_port}"


def reachable_host(host: str) -> str:
    """Where a server that binds to this host is reached from the same machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"


async def probe_readiness(config: Settings) -> tuple[bool, dict[str, PartStatus]]:
    """Asks once. An API that does not answer is a part that isn't ready."""
    try:
        async with httpx.AsyncClient(
            timeout=PROBE_TIMEOUT_SECONDS, trust_env=False, verify=api_tls.client_verification(config)
        ) as client:
            response = await client.get(f"{api_url(config)}/readyz")
        body = response.json()
        said = body["parts"] | body.get("tasks", {})
        parts = {name: PartStatus(part["ready"], part["detail"]) for name, part in said.items()}
        return bool(body["ready"]) and response.status_code == 200, parts
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return False, {"api": PartStatus(False, f"{api_url(config)}/readyz: {error or type(error).__name__}")}


async def wait_until_ready(config: Settings, seconds: float) -> None:
    """Waits until the platform is ready; a SetupError names the parts that are not in time."""
    deadline = time.monotonic() + seconds
    while True:
        ready, parts = await probe_readiness(config)
        if ready:
            return
        if time.monotonic() > deadline:
            waiting = "; ".join(f"{name}: {part.detail}" for name, part in parts.items() if not part.ready)
            raise SetupError(
                f"Not ready after {seconds:.0f} s. {waiting}",
                f"Look into {config.home / 'logs'}, one file for each process, and run `hindsight doctor`.",
            )
        await asyncio.sleep(POLL_SECONDS)
