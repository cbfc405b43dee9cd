"""What every request and every websocket passes first: whose it is, and whether a foreign page could have sent it.

Who comes by a key in a header has it to send: no other page could. A browser's cookie, and the freedom of this machine
while there are no keys, open to whatever page the browser shows; so there `Origin` must be our own, and while there are
no keys `Host` a name of this machine, or a foreign name could be made to lead here (DNS rebinding). Nor is that freedom
for what a proxy on this machine passes on: it may come from anywhere.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.authenticator import Authenticator
from app.auth.scopes import KEY_HEADER, Caller, missing_scope_message, set_caller
from app.errors import Unavailable

API_PREFIX = "/v1/"
"""What is below it are routes, which say themselves what scope they need. All else is for who may read."""
LOGIN_PATH = "/login"
LOGOUT_PATH = "/logout"
OPEN_PATHS = {"/healthz", "/livez", "/readyz", LOGIN_PATH}
"""Without a key."""
RETRY_AFTER = "2"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # NiceGUI's pages are made of both
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Of every answer that has none of its own: whatever came into a page by a fault could not carry anything away."""
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_INVALID_KEY_TEXT = f"the {KEY_HEADER} header is missing or wrong"
_CROSS_SITE_TEXT = "this comes from another site's page: Origin is not this Host (does a proxy change it?)"
_PROXY_HEADERS = {"forwarded", "via", "x-real-ip"}
"""What a proxy adds, beside all that begins with `X-Forwarded-`."""
_INVALID_HOST_TEXT = "Host is not a name or an address, with or without a port"
_NOT_LOCAL_TEXT = (
    "this comes from elsewhere, by another Host or a proxy, and there are no keys: make one by "
    "`hindsight keys create`, or ask localhost itself"
)


class AuthMiddleware:
    """Lets through what has a right to come, and notes whose it is: see `app.auth.scopes.caller_of`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, cookie: str) -> None:
        """`cookie` is the name of the cookie that holds a session."""
        self._app = app
        self._authenticator = authenticator
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the connection on, or refuses it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = _with_security_headers(send)
        if _parse_host(Headers(scope=scope).get("host", "")) is None:
            await _send_refusal(_error_response(400, _INVALID_HOST_TEXT), scope, receive, send)
            return
        if scope["path"] in OPEN_PATHS and not self._is_cross_site(scope):
            await self._app(scope, receive, send)
            return
        try:
            found = await self._authenticate(scope)
        except Unavailable as error:
            found = JSONResponse({"detail": str(error)}, 503, {"Retry-After": RETRY_AFTER})
        if isinstance(found, Response):
            await _send_refusal(found, scope, receive, send)
            return
        set_caller(scope, found)
        if scope["type"] == "websocket":
            receive = self._receive_while_authorized(scope, receive)
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Caller | Response:
        """Who calls, or the refusal."""
        headers = Headers(scope=scope)
        if (key := key_from_headers(headers)) is not None:
            caller = await self._authenticator.authenticate_key(key)
        elif self._is_cross_site(scope):
            return _error_response(403, _CROSS_SITE_TEXT)
        else:
            caller = await self._authenticate_cookie(scope)
            if (
                caller is None
                and (caller := await self._authenticator.authenticate_anonymous()) is not None
                and not _is_local(scope)
            ):
                return _error_response(403, _NOT_LOCAL_TEXT)
        if caller is None:
            return (
                _redirect_to_login(scope)
                if key is None and _expects_page(scope, headers)
                else _error_response(401, _INVALID_KEY_TEXT)
            )
        if not scope["path"].startswith(API_PREFIX) and scope["path"] != LOGOUT_PATH and "read" not in caller.scopes:
            return _error_response(403, missing_scope_message("read"))
        return caller

    async def _authenticate_cookie(self, scope: Scope) -> Caller | None:
        secret = cookie_parser(Headers(scope=scope).get("cookie", "")).get(self._cookie)
        return await self._authenticator.authenticate_session(secret) if secret else None

    def _is_cross_site(self, scope: Scope) -> bool:
        """Whether a page of another origin may have sent it. Browsers say so where it matters: changes, websockets."""
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
            return False
        origin = headers.get("origin")
        if origin is None:  # no browser's, or a very old one's, which could have our cookie
            return self._cookie in cookie_parser(headers.get("cookie", ""))
        host = headers.get("host", "")
        return not host or origin.partition("://")[2].lower() != host.lower()

    def _receive_while_authorized(self, scope: Scope, receive: Receive) -> Receive:
        """A websocket's messages, until its caller is one no more: a revoked key and a log-out end it."""

        async def received() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                try:
                    found = await self._authenticate(scope)
                except Unavailable:
                    return message
                if isinstance(found, Response):
                    return {"type": "websocket.disconnect", "code": 1008}
                set_caller(scope, found)
            return message

        return received


def key_from_headers(headers: Headers) -> str | None:
    """The key that a request has in its headers; also as a bearer token, which Prometheus and Alertmanager send."""
    key = headers.get(KEY_HEADER)
    if key is None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if kind.lower() == "bearer" else None
    return None if key is None else key.encode("latin-1").decode(errors="replace")


def _is_local(scope: Scope) -> bool:
    """Whether it comes from this machine itself, by one of its own names."""
    headers, peer = Headers(scope=scope), scope.get("client")
    host = _parse_host(headers.get("host", ""))
    proxied = any(name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in headers)
    return not proxied and all(is_loopback(one or "") for one in (host and host.hostname, peer and peer[0]))


def _parse_host(host: str) -> SplitResult | None:
    """A Host header in its parts; None of what is none: whoever takes it apart later would fail."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # which is only looked at now
    except ValueError:
        return None
    return parts if parts.netloc == host and "@" not in host else None


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, which no other machine reaches."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _expects_page(scope: Scope, headers: Headers) -> bool:
    """Whether a person waits for it in a browser."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not scope["path"].startswith(API_PREFIX)
        and "text/html" in headers.get("accept", "")
    )


def _redirect_to_login(scope: Scope) -> Response:
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN_PATH}?next={quote(wanted, safe='')}", 303)


def _error_response(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


async def _send_refusal(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # its handshake
        await send({"type": "websocket.close", "code": 1008, "reason": f"{answer.status_code}"})
        return
    await answer(scope, receive, send)


def _with_security_headers(send: Callable[[Message], Awaitable[None]]) -> Send:
    """No other site may show our pages in its own, and none of ours loads from, or sends to, another site."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            headers.setdefault("X-Frame-Options", "DENY")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        await send(message)

    return sent
