"""Which paths are pages, and which are errors in JSON."""

import httpx
import pytest

from app.embedded.readiness import api_url
from app.settings import Settings


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1"), ("GET", "/v1/nothing"), ("TRACE", "/v1/models/x"), ("POST", "/nothing"), ("TRACE", "/nothing")],
)
async def test_what_is_no_page_is_an_error_in_json(platform: Settings, method: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False) as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
