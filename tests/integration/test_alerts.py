"""The whole path of an alert: a metric, Prometheus, Alertmanager, the API, and a retraining run."""

from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import SecretStr

from app.embedded.api_readiness import api_url
from tests.support.platform import platform_settings, run_processes
from tests.support.retraining_loop import wait_until

RULE = {
    "alert": "HindsightRetrain",
    "expr": 'hindsight_route_share{task="scales", role="champion"} == 1',
    "for": "1s",
    "annotations": {"summary": "A test."},
}
TASK = {"scales": "tests.support.scales:Scales"}


@pytest.mark.needs("prometheus", "prometheus-alertmanager")
@pytest.mark.soak
async def test_an_alert_of_prometheus_starts_a_retraining_run(tmp_path: Path) -> None:
    headers = {"X-API-Key": "secret"}
    config = platform_settings(
        tmp_path, tasks=TASK, scrape_seconds=1, retraining_seconds=0.5, api_key=SecretStr("secret")
    )
    (config.home / "rules").mkdir(parents=True)
    rules = {"groups": [{"name": "test", "rules": [RULE]}]}
    (config.home / "rules" / "test.yml").write_text(yaml.safe_dump(rules))
    processes = ("kafka", "recorder", "api", "prometheus", "alertmanager")
    async with (
        run_processes(config, only=processes),
        httpx.AsyncClient(base_url=api_url(config), headers=headers, trust_env=False) as http,
    ):

        async def first_trigger() -> str | None:
            try:
                runs = (await http.get("/v1/retraining")).raise_for_status().json()["runs"]
            except httpx.HTTPError:
                return None
            return next((run["trigger"] for run in runs), None)

        assert await wait_until(first_trigger, 120) == "alert"
