import asyncio

import httpx

from app.api.app import create_app
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.fake_processes import fake_processes


async def test_readyz_names_the_processes_that_are_missing(http: httpx.AsyncClient) -> None:
    response = await http.get("/readyz")
    assert response.status_code == 503
    body = response.json()
    assert body["ready"] is False
    assert {name: part["ready"] for name, part in body["parts"].items()} == {
        "kafka": False,
        "preprocess": False,
        "mlserver": False,
        "worker": False,
        "archive": False,
        "recorder": False,
    }
    assert all(part["detail"] for part in body["parts"].values())


async def test_the_platform_is_ready_with_all_its_processes(platform: Settings) -> None:
    async with fake_processes(platform), serve_app(create_app(platform)) as http:
        # A new cluster creates its offsets topic when the first group is queried, and the routes must be read.
        while not (response := await http.get("/readyz")).json()["ready"]:
            await asyncio.sleep(0.1)
        assert all(part["ready"] for part in response.json()["parts"].values())
        assert response.status_code == 200
        assert "hindsight_ready 1.0" in (await http.get("/metrics")).text


async def test_readyz_names_no_address_and_caches_its_result(platform: Settings) -> None:
    async with serve_app(create_app(platform.model_copy(update={"kafka_port": 1}))) as http:
        first = await http.get("/readyz")
        assert first.status_code == 503
        assert "127.0.0.1" not in first.text
        assert "http" not in first.text
        cached = [await http.get("/readyz") for _ in range(3)]
        assert {response.text for response in cached} == {first.text}
        for path in ("/livez", "/healthz"):
            assert (await http.get(path)).json() == {"status": "alive"}
