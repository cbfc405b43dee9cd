"""The alerts of a platform's Prometheus, and rules with short times for tests."""

import re
from typing import Any

import httpx
import yaml

from app.embedded import prometheus
from app.settings import Settings
from tests.support.retraining_loop import wait_until

GIB = 2**30
_SHORTENED_TIMES = {"1m": "2s", "5m": "6s", "10m": "10s", "1h": "40s", "6h": "15s", "12h": "15s", "1d": "60s"}
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load((prometheus.CONFIG_DIRECTORY / "rules" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def write_fast_rules(settings: Settings, min_free_bytes: int = 0, max_memory_bytes: int = 4 * GIB) -> None:
    """Write the alerts with seconds instead of minutes and hours, and with these limits for disk and memory."""
    text = (prometheus.CONFIG_DIRECTORY / "rules" / "alerts.yml").read_text()
    text = re.sub(r"(?<=for: )\w+|(?<=\[)\w+(?=\])|(?<=offset )\w+", lambda match: _SHORTENED_TIMES[match[0]], text)
    text = text.replace("5 * 1024 * 1024 * 1024", f"{min_free_bytes}").replace(
        "4 * 1024 * 1024 * 1024", f"{max_memory_bytes}"
    )
    folder = settings.home / "rules"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hurried.yml").write_text(text)


class PrometheusAlerts:
    """The alerts of a platform."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"http://127.0.0.1:{settings.prometheus_port}/api/v1"

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Run an instant query; return each series with its labels and its value."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self._url}/query", params={"query": expression})
        return list(answer.raise_for_status().json()["data"]["result"])

    async def wait_until_firing(self, alert: str, seconds: float = 90, **labels: str) -> None:
        """Wait until an alert fires. Raises TimeoutError."""
        matchers = "".join(f', {name}="{value}"' for name, value in labels.items())
        await wait_until(lambda: self.query(f'ALERTS{{alertname="{alert}", alertstate="firing"{matchers}}}'), seconds)

    async def is_inactive(self, alert: str) -> bool:
        """Return whether an alert is neither firing nor pending."""
        return not await self.query(f'ALERTS{{alertname="{alert}"}}')
