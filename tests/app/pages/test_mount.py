"""Paths that are not pages."""

import httpx
import pytest

from app.embedded.api_readiness import api_url
from app.settings import Settings


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1"), ("GET", "/v1/nothing"), ("TRACE", "/v1/models/x"), ("POST", "/nothing"), ("TRACE", "/nothing")],
)
async def test_a_path_that_is_not_a_page_gives_an_error_in_json(platform: Settings, method: str, path: str) -> None:
    async with httpx.AsyncClient(base_url=api_url(platform), trust_env=False) as http:
        response = await http.request(method, path)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
