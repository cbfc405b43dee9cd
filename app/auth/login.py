"""`/login` and `/logout`: exchange a key for a browser session.

Scripts can't read the session's cookie, and other sites' pages can't send it.
"""

import html
import time
from collections import OrderedDict, deque
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from app.auth.authenticator import Authenticator
from app.auth.keys import SESSION_HOURS
from app.auth.middleware import LOGIN_PATH, LOGOUT_PATH, RETRY_AFTER
from app.auth.scopes import get_caller, require_scope
from app.errors import Unavailable

MAX_FAILURES = 10
FAILURE_WINDOW_SECONDS = 60.0
"""Each address may fail MAX_FAILURES times in this window. Clients of one proxy share its address."""
MAX_ADDRESSES = 10_000
MAX_KEY_LENGTH = 500

_UNAVAILABLE_TEXT = "The database is unavailable. Try again in a moment."
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with `no-referrer` browsers would send the form with `Origin: null`
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hindsight: log in</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center; }}
main {{ width: min(22rem, 100vw - 3rem); }}
h1 {{ font-size: 1.25rem; margin: 0 0 1rem; }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit; }}
input, button {{ margin-top: .4rem; padding: .5rem .6rem; }}
button {{ margin-top: 1rem; cursor: pointer; }}
p {{ font-size: .9rem; opacity: .8; }}
[role=alert] {{ opacity: 1; font-weight: 600; }}
</style>
</head>
<body>
<main>
<h1>Hindsight</h1>
{alert}
<form method="post" action="{login}">
<input type="hidden" name="next" value="{next}">
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" maxlength="{max_length}" required autofocus>
<button>Log in</button>
</form>
<p>The operator of this server creates keys: <code>hindsight keys create NAME --scope read</code></p>
</main>
</body>
</html>
"""


class LoginThrottle:
    """Limits the failed attempts of each address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str, now: float) -> float:
        """Return the seconds until this address may try again; 0 if it may now."""
        times = self._failures.get(address, deque())
        while times and times[0] <= now - FAILURE_WINDOW_SECONDS:
            times.popleft()
        return times[0] + FAILURE_WINDOW_SECONDS - now if len(times) >= MAX_FAILURES else 0.0

    def record_failure(self, address: str, now: float) -> None:
        """Record a failed attempt."""
        self._failures.setdefault(address, deque(maxlen=MAX_FAILURES)).append(now)
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)


def router(authenticator: Authenticator, cookie: str) -> APIRouter:
    """Return the routes. `cookie` is the name of the session cookie."""
    routes = APIRouter(include_in_schema=False)
    throttle = LoginThrottle()

    @routes.get(LOGIN_PATH, dependencies=[require_scope(None)])
    async def show_form(next: str = "/") -> Response:
        """Show the form."""
        return _render_form(next)

    @routes.post(LOGIN_PATH, dependencies=[require_scope(None)])
    async def log_in(
        request: Request,
        key: Annotated[str, Form(max_length=MAX_KEY_LENGTH)],
        next: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        """Start a session, if the key may read."""
        address, now = request.client.host if request.client else "", time.monotonic()
        if wait := throttle.wait_seconds(address, now):
            return _render_form(next, "Too many attempts. Wait a minute.", 429, {"Retry-After": str(int(wait) + 1)})
        try:
            caller = await authenticator.authenticate_key(key.strip())
            if caller is None:
                throttle.record_failure(address, now)
                return _render_form(next, "This key is unknown or revoked.", 401)
            if "read" not in caller.scopes:
                return _render_form(next, "This key lacks the scope “read”.", 403)
            secret = await authenticator.log_in(key.strip())
        except Unavailable:
            return _render_form(next, _UNAVAILABLE_TEXT, 503, {"Retry-After": RETRY_AFTER})
        response = RedirectResponse(_local_path(next), 303)
        response.set_cookie(
            cookie,
            secret,
            max_age=int(SESSION_HOURS * 3600),
            httponly=True,
            samesite="strict",
            secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
        )
        return response

    @routes.post(LOGOUT_PATH, dependencies=[require_scope(None)])
    async def log_out(request: Request) -> Response:
        """End the session, in every window."""
        try:
            await authenticator.log_out(get_caller(request.scope))
        except Unavailable:
            return Response(_UNAVAILABLE_TEXT, 503, {"Retry-After": RETRY_AFTER})
        response = RedirectResponse(LOGIN_PATH, 303)
        response.delete_cookie(cookie, httponly=True, samesite="strict")
        return response

    return routes


def _render_form(next_path: str, alert: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    page = _PAGE.format(
        alert=f'<p role="alert">{html.escape(alert)}</p>' if alert else "",
        login=LOGIN_PATH,
        next=html.escape(_local_path(next_path)),
        max_length=MAX_KEY_LENGTH,
    )
    return HTMLResponse(page, status, _HEADERS | (headers or {}))


def _local_path(next_path: str) -> str:
    """Return the path to open after the login; "/" for anything but a path of this server."""
    foreign = not next_path.startswith("/") or next_path.startswith(("//", "/\\")) or not next_path.isprintable()
    return "/" if foreign else next_path
