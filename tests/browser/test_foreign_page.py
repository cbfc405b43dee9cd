"""Attacks by a page of another origin, in a real browser on the platform's machine, on all of its ports."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from playwright.async_api import Browser

from app.embedded.api_readiness import api_url
from app.events import topics
from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.kafka import reader
from app.settings import Settings
from app.system import secret_file
from tests.support.platform import platform_settings, read_pids, run_processes, wait_until_alive

PARTS = ("kafka", "preprocess", "mlserver", "api", "prometheus", "alertmanager")
SILENCE = (
    '{"matchers": [{"name": "a", "value": "b", "isRegex": false}], "startsAt": "2026-01-01T00:00:00Z", '
    '"endsAt": "2099-01-01T00:00:00Z", "createdBy": "x", "comment": "x"}'
)
ALERT = '[{"labels": {"alertname": "Wrong", "task": "letters"}}]'
FEEDBACK = '{"task": "letters", "request_id": "1", "request_source": "x", "reward": 1, "actor": "evil"}'
INFER = '{"inputs": [{"name": "letters", "shape": [1, 1], "datatype": "UINT8", "data": [1]}]}'
REQUESTS = [
    ("POST", "/v2/repository/models/letters-1/unload", ""),
    ("POST", "/v2/repository/models/letters-2/unload", ""),
    ("POST", "/v2/models/letters-1/infer", INFER),
    ("GET", "/v2/models/letters-1", ""),
    ("POST", "/v1/feedback", FEEDBACK),
    ("POST", "/v1/models/letters/1:promote", '{"reason": "x", "actor": "evil"}'),
    ("POST", "/v1/retraining/letters", '{"reason": "x", "actor": "evil"}'),
    ("POST", "/v1/replays", '{"task": "letters"}'),
    ("POST", "/v1/blobs", "x"),
    ("POST", "/v1/alerts", f'{{"alerts": {ALERT}}}'),
    ("GET", "/v1/models", ""),
    ("GET", "/metrics", ""),
    ("POST", "/jars/upload", "x"),
    ("GET", "/jobs/overview", ""),
    ("GET", "/config", ""),
    ("POST", "/-/reload", ""),
    ("POST", "/-/quit", ""),
    ("POST", "/api/v2/silences", SILENCE),
    ("POST", "/api/v2/alerts", ALERT),
    ("GET", "/api/v2/alerts", ""),
    ("GET", "/api/v1/query?query=up", ""),
    ("POST", "/api/v1/admin/tsdb/delete_series?match[]=up", ""),
]
ATTACK = """async ([urls, requests]) => {
    const read = [];
    const bounded = (url, options) => fetch(url, {...options, signal: AbortSignal.timeout(3000)});
    for (const url of urls) for (const [method, path, body] of requests) {
        const sent = method === "POST" ? {method, body} : {method};
        await bounded(url + path, {...sent, mode: "no-cors"}).catch(() => 0);
        for (const headers of [{}, {"Content-Type": "application/json"}])
            await bounded(url + path, {...sent, headers}).then((answer) => {
                if (answer.ok) read.push(`${method} ${url}${path}`);
            }).catch(() => 0);
    }
    return read;
}"""


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """All processes that listen, Prometheus and Alertmanager included, without any keys."""
    config = platform_settings(
        tmp_path_factory.mktemp("foreign"), tasks={"letters": "tests.support.tasks:Letters"}, scrape_seconds=1
    )
    async with run_processes(config, only=PARTS):
        await wait_until_alive(config)
        async with asyncio.timeout(120), InferenceClient(config) as client:
            await client.wait(ModelRef(name="letters", version="2"))
        yield config


@pytest.fixture
def foreign_page(tmp_path: Path) -> Iterator[str]:
    """A page of another origin in the same address space, so that browsers' rules for local networks don't help."""
    (tmp_path / "page.html").write_text("<!doctype html><title>Foreign page</title>")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()


def listening_ports(config: Settings) -> set[int]:
    """Return the ports of all processes of the platform."""
    ports = set()
    for pid in read_pids(config).values():
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            sockets = process.net_connections("tcp")
            ports |= {socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN}
    return ports


async def alertmanager_state(config: Settings) -> Any:
    """Return Alertmanager's silences, and the alerts that are not of the platform's own rules."""
    password = secret_file.read(config.home.resolve() / "alertmanager.password")
    url = f"http://127.0.0.1:{config.alertmanager_port}/api/v2"
    async with httpx.AsyncClient(trust_env=False, auth=("hindsight", password or "")) as http:
        silences, alerts = [
            (await http.get(f"{url}/{path}")).raise_for_status().json() for path in ("silences", "alerts")
        ]
    return [silences, [alert for alert in alerts if "runbook" not in alert["annotations"]]]


async def platform_state(config: Settings) -> dict[str, Any]:
    """Return everything that the attack tries to change."""
    ranges = await reader.fetch_offset_ranges(config, [topics.LIFECYCLE, topics.feedback("letters")])
    async with InferenceClient(config) as client:
        served = [await client.serves(ModelRef(name="letters", version=version)) for version in "12"]
    blobs = [path for path in (config.home / "blobs").rglob("*") if path.is_file() and "events" not in path.parts]
    return {
        "ends": {partition: offsets.end for partition, offsets in ranges.items()},
        "served": served,
        "pids": read_pids(config),
        "blobs": blobs,
        "alerts": await alertmanager_state(config),
    }


async def test_a_page_of_another_origin_reads_and_changes_nothing(
    browser: Browser, platform: Settings, foreign_page: str
) -> None:
    before = await platform_state(platform)
    ports = listening_ports(platform)
    assert {
        platform.mlserver_http_port,
        platform.api_port,
        platform.prometheus_port,
        platform.alertmanager_port,
    } < ports
    urls = [f"http://127.0.0.1:{port}" for port in sorted(ports)]
    page = await (await browser.new_context()).new_page()
    await page.goto(foreign_page)
    assert await page.evaluate(ATTACK, [urls, REQUESTS]) == []
    assert await platform_state(platform) == before


def test_other_users_can_not_read_the_files_with_alertmanagers_password(platform: Settings) -> None:
    directory = platform.home / "alertmanager"
    assert yaml.safe_load((directory / "web.yml").read_text())["basic_auth_users"]["hindsight"].startswith("$2b$")
    for path in (directory / "web.yml", platform.home / "alertmanager.password"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "selector"), [("/docs", ".opblock"), ("/redoc", "[data-section-id]"), ("/models", "main")]
)
async def test_our_own_pages_use_no_other_host_and_respect_their_policy(
    browser: Browser, platform: Settings, path: str, selector: str
) -> None:
    url = api_url(platform)
    page = await (await browser.new_context()).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else problems.append(request.url),
    )
    response = await page.goto(f"{url}{path}")
    await page.wait_for_selector(selector)
    assert response is not None
    assert "default-src 'self'" in response.headers["content-security-policy"]
    # The policy refuses ReDoc's own logo.
    assert [problem for problem in problems if "cdn.redoc.ly" not in problem] == []
