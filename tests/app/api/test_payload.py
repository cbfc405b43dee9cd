from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.api.app import create_app
from app.events.cloudevents import ConsumedRecord
from app.settings import Settings
from tests.support.asgi_client import serve_app
from tests.support.recorded_requests import id_of, logged_request, write_requests

PNG = b"\x89PNG\r\n\x1a\n and so on"


@asynccontextmanager
async def serve_api(brokerless: Settings, home: Path, *requests: ConsumedRecord) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API over an archive of these requests and a catalog of their predictions."""
    async with serve_app(create_app(write_requests(brokerless, home, *requests))) as client:
        yield client


async def test_a_payload_is_returned_unchanged_and_can_do_no_harm_in_a_browser(
    brokerless: Settings, tmp_path: Path
) -> None:
    requests = logged_request("2", b"other", offset=0), logged_request("1", PNG, offset=1)
    async with serve_api(brokerless, tmp_path, *requests) as http:
        response = await http.get(f"/v1/predictions/{id_of('1')}/payload")
    assert (response.status_code, response.content, response.headers["content-type"]) == (200, PNG, "image/png")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == f'inline; filename="{id_of("1").replace(":", "-")}.png"'
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("payload", "declared"),
    [(b"<script>alert(1)</script>", b"text/html"), (b"%PDF-1.7 with a script", b"application/octet-stream")],
)
async def test_browsers_only_download_a_payload_that_could_run_code(
    brokerless: Settings, tmp_path: Path, payload: bytes, declared: bytes
) -> None:
    page = logged_request("1", payload, ("content-type", declared))
    async with serve_api(brokerless, tmp_path, page) as http:
        response = await http.get(f"/v1/predictions/{id_of('1')}/payload")
    assert response.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("prediction", [id_of("9"), "letters:" + id_of("1")[4:]])
async def test_a_prediction_that_is_not_recorded_has_no_payload(
    brokerless: Settings, tmp_path: Path, prediction: str
) -> None:
    async with serve_api(brokerless, tmp_path) as http:
        response = await http.get(f"/v1/predictions/{prediction}/payload")
    assert response.status_code == 404
    assert "no prediction" in response.json()["detail"]


async def test_an_invalid_prediction_id_is_refused(brokerless: Settings, tmp_path: Path) -> None:
    async with serve_api(brokerless, tmp_path) as http:
        assert (await http.get("/v1/predictions/nonsense/payload")).status_code == 422


async def test_without_kafka_a_request_that_is_not_archived_can_be_retried(
    brokerless: Settings, tmp_path: Path
) -> None:
    async with serve_api(brokerless, tmp_path, logged_request("2", b"other")) as http:
        response = await http.get(f"/v1/predictions/{id_of('1')}/payload")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
