"""The first check of every request and websocket: identify the caller, and refuse requests that a foreign page sent.

A key in a header proves that the sender knows it; a foreign page can't send one. A cookie, and open access while there
are no keys, work for every page that the browser shows. So `Origin` must then be our own. While there are no keys,
`Host` must also be a name of this machine, because a foreign name could resolve to it (DNS rebinding), and no proxy may
have forwarded the request, because it could come from anywhere.
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
"""Routes below it declare the scope that they need. Everything else needs `read`."""
LOGIN_PATH = "/login"
LOGOUT_PATH = "/logout"
OPEN_PATHS = {"/healthz", "/livez", "/readyz", LOGIN_PATH}
"""Paths that need no key."""
RETRY_AFTER = "2"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # NiceGUI's pages need both
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self' data:",  # small recordings are part of the page, and a script draws their waveforms
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
"""Policy of every response without one of its own: a script injected into a page can't send data elsewhere."""
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_INVALID_KEY_TEXT = f"the {KEY_HEADER} header is missing or wrong"
_CROSS_SITE_TEXT = "the request comes from another site's page: Origin differs from Host (does a proxy change one?)"
_PROXY_HEADERS = {"forwarded", "via", "x-real-ip"}
"""Headers that proxies add, beside `X-Forwarded-*`."""
_INVALID_HOST_TEXT = "Host is not a valid name or address with an optional port"
_NOT_LOCAL_TEXT = (
    "the request does not come from this machine (by its Host, its address or a proxy's header), and there are no "
    "keys: create one with `hindsight keys create`, or send the request to localhost"
)


class AuthMiddleware:
    """Passes authorized connections on, with their caller (`app.auth.scopes.get_caller`); refuses others."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, cookie: str) -> None:
        """Take the name of the session cookie."""
        self._app = app
        self._authenticator = authenticator
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or refuse it."""
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
            caller = await self._authenticate(scope)
        except Unavailable as error:
            caller = JSONResponse({"detail": str(error)}, 503, {"Retry-After": RETRY_AFTER})
        if isinstance(caller, Response):
            await _send_refusal(caller, scope, receive, send)
            return
        set_caller(scope, caller)
        if scope["type"] == "websocket":
            receive = self._receive_while_authorized(scope, receive)
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Caller | Response:
        """Return the caller, or the response that refuses the connection."""
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
        """Return whether another origin's page may have sent it. Browsers send `Origin` with changes and websockets."""
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
            return False
        origin = headers.get("origin")
        if origin is None:  # not a browser, or a very old one, which could send our cookie
            return self._cookie in cookie_parser(headers.get("cookie", ""))
        host = headers.get("host", "")
        return not host or origin.partition("://")[2].lower() != host.lower()

    def _receive_while_authorized(self, scope: Scope, receive: Receive) -> Receive:
        """Return a `receive` that ends the websocket when its key is revoked or its session ends."""

        async def receive_if_authorized() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                try:
                    caller = await self._authenticate(scope)
                except Unavailable:
                    return message
                if isinstance(caller, Response):
                    return {"type": "websocket.disconnect", "code": 1008}
                set_caller(scope, caller)
            return message

        return receive_if_authorized


def key_from_headers(headers: Headers) -> str | None:
    """Return the key in the headers; Prometheus and Alertmanager send it as a bearer token."""
    key = headers.get(KEY_HEADER)
    if key is None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if kind.lower() == "bearer" else None
    return None if key is None else key.encode("latin-1").decode(errors="replace")


def _is_local(scope: Scope) -> bool:
    """Return whether it was sent from this machine, to one of its own names, without a proxy."""
    headers, peer = Headers(scope=scope), scope.get("client")
    host = _parse_host(headers.get("host", ""))
    proxied = any(name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in headers)
    return not proxied and all(is_loopback(name or "") for name in (host and host.hostname, peer and peer[0]))


def _parse_host(host: str) -> SplitResult | None:
    """Split a Host header; None for an invalid one, on which later code would fail."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # parsed on access only
    except ValueError:
        return None
    return parts if parts.netloc == host and "@" not in host else None


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is a loopback one, which no other machine reaches."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _expects_page(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser asks for a page."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not scope["path"].startswith(API_PREFIX)
        and "text/html" in headers.get("accept", "")
    )


def _redirect_to_login(scope: Scope) -> Response:
    query = scope.get("query_string", b"").decode("latin-1")
    next_path = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN_PATH}?next={quote(next_path, safe='')}", 303)


def _error_response(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


async def _send_refusal(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the handshake
        await send({"type": "websocket.close", "code": 1008, "reason": f"{response.status_code}"})
        return
    await response(scope, receive, send)


def _with_security_headers(send: Callable[[Message], Awaitable[None]]) -> Send:
    """Add headers: other sites can't frame our pages, and our pages can't load from other sites or send to them."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            headers.setdefault("X-Frame-Options", "DENY")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        await send(message)

    return send_with_headers
