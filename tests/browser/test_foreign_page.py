"""A page of another origin, in a real browser on this machine, reads nothing and changes nothing at any port."""

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

from app.embedded.readiness import api_url
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
    """What listens, on a machine with Prometheus and Alertmanager, while there are no keys."""
    config = platform_settings(
        tmp_path_factory.mktemp("foreign"), tasks={"letters": "tests.support.tasks:Letters"}, scrape_seconds=1
    )
    async with run_processes(config, only=PARTS):
        await wait_until_alive(config)
        async with asyncio.timeout(120), InferenceClient(config) as client:
            await client.wait(ModelRef(name="letters", version="2"))
        yield config


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A page of another origin, in the same address space: none of a browser's rules for local networks helps."""
    (tmp_path / "page.html").write_text("<!doctype html><title>Elsewhere</title>")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()


def listening(config: Settings) -> set[int]:
    """The ports of all processes of the platform."""
    found = set()
    for pid in read_pids(config).values():
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found |= {at.laddr.port for at in one.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
    return found


async def silences(config: Settings) -> Any:
    """What Alertmanager has, by its password."""
    password = secret_file.read(config.home.resolve() / "alertmanager.password")
    url = f"http://127.0.0.1:{config.alertmanager_port}/api/v2"
    async with httpx.AsyncClient(trust_env=False, auth=("hindsight", password or "")) as http:
        return [(await http.get(f"{url}/{what}")).raise_for_status().json() for what in ("silences", "alerts")]


async def state(config: Settings) -> dict[str, Any]:
    """All that such a page would like to change."""
    held = await reader.fetch_offset_ranges(config, [topics.LIFECYCLE, topics.feedback("letters")])
    ends = {partition: one.end for partition, one in held.items()}
    async with InferenceClient(config) as client:
        served = [await client.serves(ModelRef(name="letters", version=version)) for version in "12"]
    uploaded = [path for path in (config.home / "blobs").rglob("*") if path.is_file() and "events" not in path.parts]
    return {
        "ends": ends,
        "served": served,
        "pids": read_pids(config),
        "blobs": uploaded,
        "alerts": await silences(config),
    }


async def test_a_page_of_another_origin_reads_and_changes_nothing(
    browser: Browser, platform: Settings, elsewhere: str
) -> None:
    before = await state(platform)
    ports = listening(platform)
    assert {
        platform.mlserver_http_port,
        platform.api_port,
        platform.prometheus_port,
        platform.alertmanager_port,
    } < ports
    urls = [f"http://127.0.0.1:{port}" for port in sorted(ports)]
    page = await (await browser.new_context()).new_page()
    await page.goto(elsewhere)
    assert await page.evaluate(ATTACK, [urls, REQUESTS]) == []
    assert await state(platform) == before


def test_alertmanagers_password_is_in_no_file_that_others_read(platform: Settings) -> None:
    folder = platform.home / "alertmanager"
    assert yaml.safe_load((folder / "web.yml").read_text())["basic_auth_users"]["hindsight"].startswith("$2b$")
    for path in (folder / "web.yml", platform.home / "alertmanager.password"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "shown"), [("/docs", ".opblock"), ("/redoc", "[data-section-id]"), ("/models", "main")]
)
async def test_our_own_pages_ask_no_other_host_and_keep_to_their_policy(
    browser: Browser, platform: Settings, path: str, shown: str
) -> None:
    url = api_url(platform)
    page = await (await browser.new_context()).new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on(
        "request", lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else faults.append(asked.url)
    )
    answer = await page.goto(f"{url}{path}")
    await page.wait_for_selector(shown)
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    # ReDoc's own logo, which the policy refuses.
    assert [fault for fault in faults if "cdn.redoc.ly" not in fault] == []
