"""Log-in and log-out of a browser, with the whole API."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.api.app import create_app
from app.auth.keys import KeyStore
from app.auth.login import FAILURE_WINDOW_SECONDS, MAX_FAILURES, LoginThrottle
from app.settings import Settings
from tests.support.asgi_client import serve_app

PAGE = {"Accept": "text/html"}


@pytest.fixture
def settings(brokerless: Settings, tmp_path: Path) -> Settings:
    return brokerless.model_copy(update={"home": tmp_path, "host": "0.0.0.0", "api_key": SecretStr("s3cret")})


@pytest.fixture
def keys(settings: Settings) -> Iterator[KeyStore]:
    store = KeyStore(settings.catalog_url)
    yield store
    store.close()


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_app(create_app(settings), Origin="http://localhost") as client:
        yield client


def session_cookie(client: httpx.AsyncClient) -> dict[str, str]:
    """Return the session's cookie as a header for another client."""
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}


async def test_a_key_starts_a_session_that_opens_pages_until_the_log_out(
    http: httpx.AsyncClient, keys: KeyStore
) -> None:
    token = keys.create("ada", frozenset({"read"}))
    redirect = await http.get("/docs", headers=PAGE)
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/login?next=%2Fdocs")
    form = await http.get(redirect.headers["location"])
    assert 'name="next" value="/docs"' in form.text
    logged_in = await http.post("/login", data={"key": f" {token}\n", "next": "/docs"})
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, "/docs")
    assert (await http.get("/docs", headers=PAGE)).status_code == 200
    cookie = session_cookie(http)
    logged_out = await http.post("/logout")
    assert (logged_out.status_code, logged_out.headers["location"]) == (303, "/login")
    assert not http.cookies
    assert (await http.get("/docs", headers=cookie)).status_code == 401  # the server has ended the session


async def test_neither_scripts_nor_other_sites_can_use_the_cookie_and_it_is_not_the_key(
    http: httpx.AsyncClient, keys: KeyStore
) -> None:
    token = keys.create("ada", frozenset({"read"}))
    cookie = (await http.post("/login", data={"key": token})).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert token not in cookie
    secure = await http.post("https://localhost/login", data={"key": token}, headers={"Origin": "https://localhost"})
    assert "Secure" in secure.headers["set-cookie"].split("; ")


async def test_a_session_by_the_key_in_the_settings_ends_when_that_key_changes(
    settings: Settings, http: httpx.AsyncClient
) -> None:
    assert (await http.post("/login", data={"key": "s3cret"})).status_code == 303
    assert (await http.get("/docs")).status_code == 200
    changed = settings.model_copy(update={"api_key": SecretStr("another")})
    async with serve_app(create_app(changed), Origin="http://localhost") as other:
        assert (await other.get("/docs", headers=session_cookie(http))).status_code == 401


async def test_a_session_is_valid_on_every_replica(settings: Settings, http: httpx.AsyncClient) -> None:
    await http.post("/login", data={"key": "s3cret"})
    async with serve_app(create_app(settings)) as other:
        assert (await other.get("/docs", headers=session_cookie(http))).status_code == 200


async def test_the_login_refuses_an_unknown_key(http: httpx.AsyncClient) -> None:
    response = await http.post("/login", data={"key": "hs_nonsense", "next": '"><script>'})
    assert response.status_code == 401
    assert "This key is unknown or revoked" in response.text
    assert "<script>" not in response.text
    assert not http.cookies


async def test_the_login_refuses_a_key_without_the_scope_read(http: httpx.AsyncClient, keys: KeyStore) -> None:
    response = await http.post("/login", data={"key": keys.create("till-3", frozenset({"feedback"}))})
    assert (response.status_code, "“read”" in response.text) == (403, True)
    assert not http.cookies


async def test_a_client_that_fails_too_often_has_to_wait(http: httpx.AsyncClient) -> None:
    for _ in range(MAX_FAILURES):
        assert (await http.post("/login", data={"key": "hs_nonsense"})).status_code == 401
    response = await http.post("/login", data={"key": "s3cret"})
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= FAILURE_WINDOW_SECONDS + 1
    assert (await http.get("/docs", headers={"X-API-Key": "s3cret"})).status_code == 200


def test_the_throttle_counts_the_failures_of_an_address_in_any_minute() -> None:
    throttle = LoginThrottle()
    for second in range(MAX_FAILURES):
        assert throttle.wait_seconds("a", second) == 0
        throttle.record_failure("a", second)
    assert throttle.wait_seconds("a", MAX_FAILURES) == FAILURE_WINDOW_SECONDS - MAX_FAILURES
    assert throttle.wait_seconds("b", MAX_FAILURES) == 0
    assert throttle.wait_seconds("a", FAILURE_WINDOW_SECONDS) == 0


@pytest.mark.parametrize("foreign", ["https://evil.example", "//evil.example", "/\\evil.example", "review", "/a\r\nb"])
async def test_the_login_redirects_to_no_other_site(http: httpx.AsyncClient, foreign: str) -> None:
    response = await http.post("/login", data={"key": "s3cret", "next": foreign})
    assert response.headers["location"] == "/"


async def test_a_foreign_page_logs_nobody_in_or_out(http: httpx.AsyncClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert (await http.post("/login", data={"key": "s3cret"}, headers=foreign)).status_code == 403
    await http.post("/login", data={"key": "s3cret"})
    assert (await http.post("/logout", headers=foreign)).status_code == 403
    assert (await http.get("/docs")).status_code == 200
