"""Attacks by a page of another origin, in a real browser on the platform's machine, on all of its ports."""

import threading
from collections.abc import Iterator
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
from app.settings import Settings
from app.system import secret_file
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.platform import read_pids
from tests.support.stack import Stack

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
    const attack = async (url, [method, path, body]) => {
        const sent = method === "POST" ? {method, body} : {method};
        await bounded(url + path, {...sent, mode: "no-cors"}).catch(() => 0);
        for (const headers of [{}, {"Content-Type": "application/json"}])
            await bounded(url + path, {...sent, headers}).then((answer) => {
                if (answer.ok) read.push(`${method} ${url}${path}`);
            }).catch(() => 0);
    };
    await Promise.all(urls.map(async (url) => {
        for (const request of requests) await attack(url, request);
    }));
    return read;
}"""


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
    async with InferenceClient(config) as client:
        served = [await client.serves(ModelRef(name="letters", version=version)) for version in "12"]
    blobs = [path for path in (config.home / "blobs").rglob("*") if path.is_file() and "events" not in path.parts]
    return {
        "served": served,
        "pids": read_pids(config),
        "blobs": blobs,
        "alerts": await alertmanager_state(config),
    }


async def test_a_page_of_another_origin_reads_and_changes_nothing(
    browser: Browser, stack: Stack, foreign_page: str
) -> None:
    settings = stack.settings
    before = await platform_state(settings)
    assert any(before["served"])
    ports = listening_ports(settings)
    assert {
        settings.mlserver_http_port,
        settings.api_port,
        settings.prometheus_port,
        settings.alertmanager_port,
    } < ports
    urls = [f"http://127.0.0.1:{port}" for port in sorted(ports)]
    page = await (await browser.new_context()).new_page()
    await page.goto(foreign_page)
    async with open_topic_reader(settings, topics.LIFECYCLE, topics.feedback("letters")) as changes:
        assert await page.evaluate(ATTACK, [urls, REQUESTS]) == []
        await publish(settings, topics.feedback("letters"), [OutgoingRecord(b"the end")])
        written = await changes.read_until(lambda records: any(record.value == b"the end" for record in records))
    assert not [record for record in written if b"evil" in (record.value or b"")]
    assert await platform_state(settings) == before


def test_other_users_can_not_read_the_files_with_alertmanagers_password(stack: Stack) -> None:
    directory = stack.settings.home / "alertmanager"
    assert yaml.safe_load((directory / "web.yml").read_text())["basic_auth_users"]["hindsight"].startswith("$2b$")
    for path in (directory / "web.yml", stack.settings.home / "alertmanager.password"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "selector"), [("/docs", ".opblock"), ("/redoc", "[data-section-id]"), ("/models", "main")]
)
async def test_our_own_pages_use_no_other_host_and_respect_their_policy(
    browser: Browser, stack: Stack, path: str, selector: str
) -> None:
    url = api_url(stack.settings)
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
