"""An application behind the authentication, which records its callers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import Message, Receive, Scope, Send

from app.auth.authenticator import Authenticator
from app.auth.keys import KeyStore
from app.auth.middleware import AuthMiddleware
from app.auth.scopes import Caller, get_caller

COOKIE = "session"


class RecordingApp:
    """An ASGI application that records its callers, and the messages of their websockets."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/healthz":
            self.callers.append(get_caller(scope))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                self.messages.append(message)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class GuardedApp:
    """A `RecordingApp` behind the middleware, and a client of it."""

    def __init__(self, authenticator: Authenticator) -> None:
        self.app = RecordingApp()
        self.authenticator = authenticator
        self.middleware = AuthMiddleware(self.app, authenticator, COOKIE)
        self.http = self.client()

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client on another machine."""
        transport = httpx.ASGITransport(self.middleware, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


@asynccontextmanager
async def guarded_app(
    keys: KeyStore, open_without_keys: bool = True, local_key: str | None = None
) -> AsyncIterator[GuardedApp]:
    """Serve a guarded application with these keys."""
    guarded = GuardedApp(Authenticator(keys, local_key, open_without_keys))
    async with guarded.http:
        yield guarded
