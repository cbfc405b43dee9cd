"""A browser logs in and out, at the API as it is served."""

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
    found = KeyStore(settings.catalog_url)
    yield found
    found.close()


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve_app(create_app(settings), Origin="http://localhost") as client:
        yield client


def cookie_of(client: httpx.AsyncClient) -> dict[str, str]:
    """The session's cookie, as another client would send it."""
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}


async def test_a_key_becomes_a_session_that_opens_pages_until_the_log_out(
    http: httpx.AsyncClient, keys: KeyStore
) -> None:
    token = keys.create("ada", frozenset({"read"}))
    asked = await http.get("/docs", headers=PAGE)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fdocs")
    form = await http.get(asked.headers["location"])
    assert 'name="next" value="/docs"' in form.text
    logged_in = await http.post("/login", data={"key": f" {token}\n", "next": "/docs"})
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, "/docs")
    assert (await http.get("/docs", headers=PAGE)).status_code == 200
    cookie = cookie_of(http)
    out = await http.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert not http.cookies
    assert (await http.get("/docs", headers=cookie)).status_code == 401  # it is over, not only forgotten here


async def test_the_cookie_is_for_no_script_and_no_other_site_and_is_no_key(
    http: httpx.AsyncClient, keys: KeyStore
) -> None:
    token = keys.create("ada", frozenset({"read"}))
    cookie = (await http.post("/login", data={"key": token})).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert token not in cookie
    secure = await http.post("https://localhost/login", data={"key": token}, headers={"Origin": "https://localhost"})
    assert "Secure" in secure.headers["set-cookie"].split("; ")


async def test_the_settings_own_key_logs_in_as_well_for_as_long_as_it_is_that(
    settings: Settings, http: httpx.AsyncClient
) -> None:
    assert (await http.post("/login", data={"key": "s3cret"})).status_code == 303
    assert (await http.get("/docs")).status_code == 200
    changed = settings.model_copy(update={"api_key": SecretStr("another")})
    async with serve_app(create_app(changed), Origin="http://localhost") as other:
        assert (await other.get("/docs", headers=cookie_of(http))).status_code == 401


async def test_a_session_is_every_replicas(settings: Settings, http: httpx.AsyncClient) -> None:
    await http.post("/login", data={"key": "s3cret"})
    async with serve_app(create_app(settings)) as other:
        assert (await other.get("/docs", headers=cookie_of(http))).status_code == 200


async def test_what_is_no_key_is_said_to_be_none(http: httpx.AsyncClient) -> None:
    answer = await http.post("/login", data={"key": "hs_nonsense", "next": '"><script>'})
    assert answer.status_code == 401
    assert "This is no key" in answer.text
    assert "<script>" not in answer.text
    assert not http.cookies


async def test_a_key_that_may_not_look_is_told_so(http: httpx.AsyncClient, keys: KeyStore) -> None:
    answer = await http.post("/login", data={"key": keys.create("till-3", frozenset({"feedback"}))})
    assert (answer.status_code, "“read”" in answer.text) == (403, True)
    assert not http.cookies


async def test_whoever_fails_too_often_has_to_wait(http: httpx.AsyncClient) -> None:
    for _ in range(MAX_FAILURES):
        assert (await http.post("/login", data={"key": "hs_nonsense"})).status_code == 401
    answer = await http.post("/login", data={"key": "s3cret"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= FAILURE_WINDOW_SECONDS + 1
    assert (await http.get("/docs", headers={"X-API-Key": "s3cret"})).status_code == 200


def test_an_address_may_fail_so_often_in_any_minute() -> None:
    attempts = LoginThrottle()
    for second in range(MAX_FAILURES):
        assert attempts.wait_seconds("a", second) == 0
        attempts.record_failure("a", second)
    assert attempts.wait_seconds("a", MAX_FAILURES) == FAILURE_WINDOW_SECONDS - MAX_FAILURES
    assert attempts.wait_seconds("b", MAX_FAILURES) == 0
    assert attempts.wait_seconds("a", FAILURE_WINDOW_SECONDS) == 0


@pytest.mark.parametrize("foreign", ["https://evil.example", "//evil.example", "/\\evil.example", "review", "/a\r\nb"])
async def test_a_login_leads_to_no_other_site(http: httpx.AsyncClient, foreign: str) -> None:
    answer = await http.post("/login", data={"key": "s3cret", "next": foreign})
    assert answer.headers["location"] == "/"


async def test_a_foreign_page_logs_nobody_in_or_out(http: httpx.AsyncClient) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert (await http.post("/login", data={"key": "s3cret"}, headers=foreign)).status_code == 403
    await http.post("/login", data={"key": "s3cret"})
    assert (await http.post("/logout", headers=foreign)).status_code == 403
    assert (await http.get("/docs")).status_code == 200
