"""Who gets in, by which way, as an application behind the guard sees it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.auth.authenticator import Authenticator
from app.auth.keys import KeyStore, secret_digest
from app.auth.middleware import AuthMiddleware
from app.auth.scopes import Caller, get_caller
from app.errors import Unavailable

COOKIE = "session"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    found = KeyStore(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield found
    found.close()


class Behind:
    """An application that notes who came."""

    def __init__(self) -> None:
        self.came: list[Caller] = []
        self.heard: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/healthz":
            self.came.append(get_caller(scope))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                self.heard.append(message)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def guarded(
    keys: KeyStore, local: bool = True, own: str | None = None
) -> AsyncIterator[tuple[Behind, AuthMiddleware, Any]]:
    behind = Behind()
    guard = AuthMiddleware(behind, Authenticator(keys, own, open_without_keys=local), COOKIE)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://localhost:8000") as http:
        yield behind, guard, http


def scopes(*names: str) -> Any:
    return frozenset(names)


async def test_on_this_machine_all_is_open_while_there_are_no_keys(keys: KeyStore) -> None:
    async with guarded(keys) as (behind, _, http):
        assert (await http.post("/v1/feedback")).status_code == 200
    assert behind.came == [Caller(None, scopes("read", "feedback", "operate"))]


@pytest.mark.parametrize("revoked", [False, True])
async def test_the_first_key_closes_it_and_it_stays_closed(keys: KeyStore, revoked: bool) -> None:
    keys.create("ada", scopes("read"))
    if revoked:
        keys.revoke("ada")
    async with guarded(keys) as (behind, _, http):
        assert (await http.get("/v1/models")).status_code == 401
    assert behind.came == []


async def test_what_others_can_reach_is_closed_without_any_key(keys: KeyStore) -> None:
    async with guarded(keys, local=False) as (_, _, http):
        assert (await http.get("/v1/models")).status_code == 401


@pytest.mark.parametrize("header", ["X-API-Key: {}", "Authorization: Bearer {}", "authorization: bearer  {}"])
async def test_a_key_comes_in_a_header(keys: KeyStore, header: str) -> None:
    token = keys.create("ada", scopes("read", "feedback"))
    name, _, value = header.format(token).partition(": ")
    async with guarded(keys, local=False) as (behind, _, http):
        assert (await http.get("/v1/models", headers={name: value})).status_code == 200
    assert behind.came == [Caller("ada", scopes("read", "feedback"))]


@pytest.mark.parametrize("wrong", ["", "hs_", "s3cre", "s3cret ", "Bearer s3cret"])
async def test_a_wrong_key_opens_nothing_even_where_all_is_open(keys: KeyStore, wrong: str) -> None:
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models", headers={"X-API-Key": wrong})).status_code == 401


async def test_the_settings_own_key_has_all_scopes_and_no_name_whatever_characters_it_has(keys: KeyStore) -> None:
    async with guarded(keys, local=False, own="schlüssel") as (behind, _, http):
        answer = await http.get("/v1/models", headers=[(b"X-API-Key", "schlüssel".encode())])
        assert answer.status_code == 200
    assert behind.came == [Caller(None, scopes("read", "feedback", "operate"))]


async def test_a_key_that_is_made_or_revoked_while_it_runs_counts(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models")).status_code == 200
        headers = {"X-API-Key": keys.create("ada", scopes("read"))}
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.get("/v1/models", headers=headers)).status_code == 200
        keys.revoke("ada")
        assert (await http.get("/v1/models", headers=headers)).status_code == 401


async def test_a_new_key_opens_at_once_though_keys_are_looked_at_seldom(keys: KeyStore) -> None:
    keys.create("bob", scopes("read"))
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models")).status_code == 401
        token = keys.create("ada", scopes("read"))
        assert (await http.get("/v1/models", headers={"X-API-Key": token})).status_code == 200


async def test_what_is_not_below_v1_needs_the_scope_read(keys: KeyStore) -> None:
    headers = {"X-API-Key": keys.create("app", scopes("feedback"))}
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models", headers=headers)).status_code == 200  # the route says what it needs
        answer = await http.get("/docs", headers=headers)
    assert answer.status_code == 403
    assert "'read'" in answer.json()["detail"]


async def test_a_browser_is_led_to_the_login_and_knows_where_it_wanted_to_go(keys: KeyStore) -> None:
    keys.create("ada", scopes("read"))
    async with guarded(keys) as (_, _, http):
        page = await http.get("/review?task=ocr", headers={"Accept": "text/html,*/*"})
        others = [await http.get(path, headers={"Accept": "*/*"}) for path in ("/review", "/_nicegui/x.js")]
        api = await http.get("/v1/models", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Freview%3Ftask%3Docr")
    assert [answer.status_code for answer in (*others, api)] == [401] * 3


async def test_health_is_open_and_no_answer_can_be_framed(keys: KeyStore) -> None:
    async with guarded(keys, local=False) as (_, _, http):
        healthy, refused = await http.get("/healthz"), await http.get("/docs")
    assert (healthy.status_code, refused.status_code) == (200, 401)
    assert {answer.headers["x-frame-options"] for answer in (healthy, refused)} == {"DENY"}


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
async def test_a_change_by_cookie_comes_from_our_own_pages(keys: KeyStore, origin: str | None, status: int) -> None:
    session = keys.begin_session(secret_digest(keys.create("ada", scopes("read", "operate"))))
    headers = {"Cookie": f"{COOKIE}={session}"} | ({} if origin is None else {"Origin": origin})
    async with guarded(keys) as (_, _, http):
        assert (await http.post("/v1/replays", headers=headers)).status_code == status
        assert (await http.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(("origin", "status"), [("http://localhost:8000", 200), ("https://evil.example", 403)])
async def test_a_foreign_page_can_change_nothing_where_all_is_open(keys: KeyStore, origin: str, status: int) -> None:
    async with guarded(keys) as (_, _, http):
        assert (await http.post("/v1/feedback", headers={"Origin": origin})).status_code == status


async def test_who_has_a_key_to_send_may_come_from_anywhere(keys: KeyStore) -> None:
    headers = {"X-API-Key": keys.create("ada", scopes("feedback")), "Origin": "https://shop.example"}
    async with guarded(keys) as (_, _, http):
        assert (await http.post("/v1/feedback", headers=headers)).status_code == 200


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
async def test_a_foreign_name_that_leads_here_opens_nothing(keys: KeyStore, host: str, status: int) -> None:
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models", headers={"Host": host})).status_code == status


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
async def test_what_a_proxy_passes_on_needs_a_key_though_the_proxy_is_on_this_machine(
    keys: KeyStore, header: str
) -> None:
    name, _, value = header.partition(": ")
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models", headers={name: value})).status_code == 403
        keyed = {name: value, "X-API-Key": keys.create("ada", scopes("read"))}
        assert (await http.get("/v1/models", headers=keyed)).status_code == 200


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("203.0.113.7", 403)])
async def test_another_machine_needs_a_key(keys: KeyStore, peer: str, status: int) -> None:
    async with guarded(keys) as (_, guard, _):
        transport = httpx.ASGITransport(guard, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
            assert (await http.get("/v1/models")).status_code == status


@pytest.mark.parametrize("host", ["[", "localhost:99999"])
async def test_a_malformed_host_is_refused_whoever_sends_it(keys: KeyStore, host: str) -> None:
    headers = {"Host": host, "X-API-Key": keys.create("ada", scopes("read"))}
    async with guarded(keys) as (_, guard, http):
        for path in ("/v1/models", "/healthz"):
            assert (await http.get(path, headers=headers)).status_code == 400
        assert await Socket(guard, host=host).run() == ["websocket.close"]


async def test_while_the_database_is_away_what_was_known_holds(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    headers = {"X-API-Key": keys.create("ada", scopes("read"))}
    async with guarded(keys) as (_, _, http):
        assert (await http.get("/v1/models", headers=headers)).status_code == 200

        def away() -> None:
            raise Unavailable("the database is away")

        monkeypatch.setattr(keys, "all", away)
        assert (await http.get("/v1/models", headers=headers)).status_code == 200
        assert (await http.get("/v1/models", headers={"X-API-Key": "hs_x"})).status_code == 401


async def test_while_nothing_is_known_only_the_settings_own_key_opens(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(keys, "all", away)
    async with guarded(keys, own="s3cret") as (_, _, http):
        assert (await http.get("/v1/models", headers={"X-API-Key": "s3cret"})).status_code == 200
        answer = await http.get("/v1/models", headers={"X-API-Key": "hs_x"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_use_is_noted_once_in_a_while(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    note = keys.use

    def noted(digest: str) -> None:
        used.append(digest)
        note(digest)

    monkeypatch.setattr(keys, "use", noted)
    token = keys.create("ada", scopes("read"))
    async with guarded(keys) as (_, guard, http):
        for _ in range(3):
            await http.get("/v1/models", headers={"X-API-Key": token})
            for noting in list(guard._authenticator._recording_tasks):
                await noting
    assert used == [secret_digest(token)]


class Socket:
    """A browser's websocket to the guard, message by message."""

    def __init__(self, guard: AuthMiddleware, *messages: str, **headers: str) -> None:
        self._guard = guard
        self._messages: list[Message] = [{"type": "websocket.connect"}]
        self._messages += [{"type": "websocket.receive", "text": text} for text in messages]
        self._headers = [(name.encode(), text.encode()) for name, text in headers.items()]
        self.sent: list[str] = []

    async def run(self, before_last: Any = lambda: None) -> list[str]:
        async def receive() -> Message:
            if len(self._messages) == 1:
                before_last()
            return self._messages.pop(0) if self._messages else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Message) -> None:
            self.sent.append(message["type"])

        scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "headers": self._headers, "query_string": b""}
        await self._guard(scope, receive, send)
        return self.sent


async def test_a_websocket_needs_a_session_that_may_read_and_our_own_page(keys: KeyStore) -> None:
    may = keys.begin_session(secret_digest(keys.create("ada", scopes("read"))))
    may_not = keys.begin_session(secret_digest(keys.create("app", scopes("feedback"))))
    own = {"host": "localhost:8000", "origin": "http://localhost:8000"}
    async with guarded(keys) as (behind, guard, _):
        assert await Socket(guard, "hello", cookie=f"{COOKIE}={may}", **own).run() == ["websocket.accept"]
        assert [message["text"] for message in behind.heard] == ["hello"]
        assert [caller.name for caller in behind.came] == ["ada"]
        foreign = own | {"origin": "https://evil.example"}
        for refused in (
            Socket(guard, **own),
            Socket(guard, cookie=f"{COOKIE}=nonsense", **own),
            Socket(guard, cookie=f"{COOKIE}={may_not}", **own),
            Socket(guard, cookie=f"{COOKIE}={may}", **foreign),
        ):
            assert await refused.run() == ["websocket.close"]
        assert len(behind.came) == 1


async def test_a_revoked_key_ends_what_is_open_by_it(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.auth.authenticator.CACHE_SECONDS", 0.0)
    session = keys.begin_session(secret_digest(keys.create("ada", scopes("read"))))
    own = {"host": "localhost:8000", "origin": "http://localhost:8000", "cookie": f"{COOKIE}={session}"}
    async with guarded(keys) as (behind, guard, http):
        await Socket(guard, "heard", "not heard", **own).run(before_last=lambda: keys.revoke("ada"))
        assert [message["text"] for message in behind.heard] == ["heard"]
        assert (await http.get("/v1/models", headers={"Cookie": own["cookie"]})).status_code == 401
