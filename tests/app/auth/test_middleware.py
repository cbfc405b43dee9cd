"""Requests and websockets that the middleware passes on or refuses, seen from an application behind it."""

from collections.abc import Callable

import pytest
from starlette.types import Message

from app.auth.keys import KeyStore, secret_digest
from app.auth.middleware import AuthMiddleware
from app.auth.scopes import Caller, Scope
from tests.support.guarded_app import COOKIE, guarded_app


def begin_session(keys: KeyStore, name: str, *scopes: Scope) -> str:
    """Return the cookie's value of a new session of a new key."""
    return keys.begin_session(secret_digest(keys.create(name, frozenset(scopes))))


@pytest.mark.parametrize("header", ["X-API-Key: {}", "Authorization: Bearer {}", "authorization: bearer  {}"])
async def test_a_header_carries_the_key(keys: KeyStore, header: str) -> None:
    token = keys.create("ada", frozenset({"read", "feedback"}))
    name, _, value = header.format(token).partition(": ")
    async with guarded_app(keys, open_without_keys=False) as guarded:
        assert (await guarded.http.get("/v1/models", headers={name: value})).status_code == 200
    assert guarded.app.callers == [Caller("ada", frozenset({"read", "feedback"}))]


@pytest.mark.parametrize("wrong", ["", "hs_", "s3cre", "s3cret ", "Bearer s3cret"])
async def test_a_wrong_key_is_refused_even_where_everything_is_open(keys: KeyStore, wrong: str) -> None:
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models", headers={"X-API-Key": wrong})).status_code == 401


async def test_paths_outside_v1_need_the_scope_read(keys: KeyStore) -> None:
    headers = {"X-API-Key": keys.create("app", frozenset({"feedback"}))}
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 200  # the route checks its scope
        response = await guarded.http.get("/docs", headers=headers)
    assert response.status_code == 403
    assert "'read'" in response.json()["detail"]


async def test_a_browser_is_redirected_to_the_login_with_the_path_that_it_asked_for(keys: KeyStore) -> None:
    keys.create("ada", frozenset({"read"}))
    async with guarded_app(keys) as guarded:
        page = await guarded.http.get("/review?task=ocr", headers={"Accept": "text/html,*/*"})
        others = [await guarded.http.get(path, headers={"Accept": "*/*"}) for path in ("/review", "/_nicegui/x.js")]
        api = await guarded.http.get("/v1/models", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Freview%3Ftask%3Docr")
    assert [response.status_code for response in (*others, api)] == [401] * 3


async def test_health_is_open_and_no_response_can_be_framed(keys: KeyStore) -> None:
    async with guarded_app(keys, open_without_keys=False) as guarded:
        healthy, refused = await guarded.http.get("/healthz"), await guarded.http.get("/docs")
    assert (healthy.status_code, refused.status_code) == (200, 401)
    assert {response.headers["x-frame-options"] for response in (healthy, refused)} == {"DENY"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 200),
        ("http://localhost:9000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
        (None, 403),
    ],
)
async def test_a_change_by_cookie_must_come_from_our_own_pages(keys: KeyStore, origin: str | None, status: int) -> None:
    session = begin_session(keys, "ada", "read", "operate")
    headers = {"Cookie": f"{COOKIE}={session}"} | ({} if origin is None else {"Origin": origin})
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.post("/v1/replays", headers=headers)).status_code == status
        assert (await guarded.http.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("http://localhost:8000", 200), ("https://evil.example", 403)])
async def test_a_foreign_page_can_change_nothing_where_everything_is_open(
    keys: KeyStore, origin: str, status: int
) -> None:
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.post("/v1/feedback", headers={"Origin": origin})).status_code == status


async def test_a_request_with_a_key_may_come_from_any_origin(keys: KeyStore) -> None:
    headers = {"X-API-Key": keys.create("ada", frozenset({"feedback"})), "Origin": "https://shop.example"}
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.post("/v1/feedback", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 400),
        ("localhost:port", 400),
        ("localhost:99999", 400),
        ("localhost/", 400),
        ("evil@localhost", 400),
        ("0x7f.1", 403),
    ],
)
async def test_a_foreign_name_of_this_machine_is_refused(keys: KeyStore, host: str, status: int) -> None:
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models", headers={"Host": host})).status_code == status


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded: for=203.0.113.7",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Real-IP: ::1",
        "Via: p",
    ],
)
async def test_a_request_through_a_proxy_on_this_machine_needs_a_key(keys: KeyStore, header: str) -> None:
    name, _, value = header.partition(": ")
    async with guarded_app(keys) as guarded:
        assert (await guarded.http.get("/v1/models", headers={name: value})).status_code == 403
        with_key = {name: value, "X-API-Key": keys.create("ada", frozenset({"read"}))}
        assert (await guarded.http.get("/v1/models", headers=with_key)).status_code == 200


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("203.0.113.7", 403)])
async def test_another_machine_needs_a_key(keys: KeyStore, address: str, status: int) -> None:
    async with guarded_app(keys) as guarded, guarded.client(address) as http:
        assert (await http.get("/v1/models")).status_code == status


@pytest.mark.parametrize("host", ["[", "localhost:99999"])
async def test_a_malformed_host_is_refused_from_every_caller(keys: KeyStore, host: str) -> None:
    headers = {"Host": host, "X-API-Key": keys.create("ada", frozenset({"read"}))}
    async with guarded_app(keys) as guarded:
        for path in ("/v1/models", "/healthz"):
            assert (await guarded.http.get(path, headers=headers)).status_code == 400
        assert await WebSocket(guarded.middleware, host=host).run() == ["websocket.close"]


class WebSocket:
    """A browser's websocket, message by message."""

    def __init__(self, middleware: AuthMiddleware, *messages: str, **headers: str) -> None:
        self._middleware = middleware
        self._messages: list[Message] = [{"type": "websocket.connect"}]
        self._messages += [{"type": "websocket.receive", "text": text} for text in messages]
        self._headers = [(name.encode(), text.encode()) for name, text in headers.items()]

    async def run(self, before_last: Callable[[], None] = lambda: None) -> list[str]:
        """Send the messages and return the types of those that came back; call `before_last` before the last one."""
        replies: list[str] = []

        async def receive() -> Message:
            if len(self._messages) == 1:
                before_last()
            return self._messages.pop(0) if self._messages else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Message) -> None:
            replies.append(message["type"])

        scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "headers": self._headers, "query_string": b""}
        await self._middleware(scope, receive, send)
        return replies


async def test_a_websocket_needs_our_own_page_and_a_session_with_the_scope_read(keys: KeyStore) -> None:
    reader = f"{COOKIE}={begin_session(keys, 'ada', 'read')}"
    sender = f"{COOKIE}={begin_session(keys, 'app', 'feedback')}"
    own = {"host": "localhost:8000", "origin": "http://localhost:8000"}
    foreign = own | {"origin": "https://evil.example"}
    async with guarded_app(keys) as guarded:
        assert await WebSocket(guarded.middleware, "hello", cookie=reader, **own).run() == ["websocket.accept"]
        assert [message["text"] for message in guarded.app.messages] == ["hello"]
        assert [caller.name for caller in guarded.app.callers] == ["ada"]
        for refused in (
            WebSocket(guarded.middleware, **own),
            WebSocket(guarded.middleware, cookie=f"{COOKIE}=nonsense", **own),
            WebSocket(guarded.middleware, cookie=sender, **own),
            WebSocket(guarded.middleware, cookie=reader, **foreign),
        ):
            assert await refused.run() == ["websocket.close"]
        assert len(guarded.app.callers) == 1


async def test_a_revoked_key_ends_its_open_websockets(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    cookie = f"{COOKIE}={begin_session(keys, 'ada', 'read')}"
    own = {"host": "localhost:8000", "origin": "http://localhost:8000", "cookie": cookie}
    async with guarded_app(keys) as guarded:
        websocket = WebSocket(guarded.middleware, "before", "after", **own)
        await websocket.run(before_last=lambda: keys.revoke("ada"))
        assert [message["text"] for message in guarded.app.messages] == ["before"]
        assert (await guarded.http.get("/v1/models", headers={"Cookie": cookie})).status_code == 401
