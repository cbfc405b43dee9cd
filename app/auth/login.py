"""`/login` and `/logout`: a browser's key becomes a session. Its cookie no script can read, and no other site sends."""

import html
import time
from collections import OrderedDict, deque
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from app.auth.authenticator import Callers
from app.auth.keys import SESSION_HOURS
from app.auth.middleware import LOGIN, LOGOUT, RETRY_AFTER
from app.auth.scopes import caller_of, needs
from app.errors import Unavailable

MOST_FAILURES = 10
WITHIN_SECONDS = 60.0
"""An address may fail so often in this time; who comes through a proxy has the proxy's."""
MOST_ADDRESSES = 10_000
MOST_KEY = 500

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with none at all, browsers would send the form with `Origin: null`
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
{said}
<form method="post" action="{login}">
<input type="hidden" name="next" value="{next}">
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" maxlength="{most}" required autofocus>
<button>Log in</button>
</form>
<p>Whoever runs this Hindsight makes keys: <code>hindsight keys create NAME --scope read</code></p>
</main>
</body>
</html>
"""


class Attempts:
    """Bounds how often an address may fail."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0 is now."""
        times = self._failures.get(address, deque())
        while times and times[0] <= now - WITHIN_SECONDS:
            times.popleft()
        return times[0] + WITHIN_SECONDS - now if len(times) >= MOST_FAILURES else 0.0

    def failed(self, address: str, now: float) -> None:
        """Note a failure."""
        self._failures.setdefault(address, deque(maxlen=MOST_FAILURES)).append(now)
        self._failures.move_to_end(address)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)


def router(callers: Callers, cookie: str) -> APIRouter:
    """The routes; `cookie` is the name of the cookie that holds a session."""
    routes = APIRouter(include_in_schema=False)
    attempts = Attempts()

    @routes.get(LOGIN, dependencies=[needs(None)])
    async def ask(next: str = "/") -> Response:
        """The form."""
        return _page(next)

    @routes.post(LOGIN, dependencies=[needs(None)])
    async def log_in(
        request: Request,
        key: Annotated[str, Form(max_length=MOST_KEY)],
        next: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        """A session for whoever has a key."""
        address, now = request.client.host if request.client else "", time.monotonic()
        if wait := attempts.wait(address, now):
            return _page(next, "Too many attempts: wait a minute.", 429, {"Retry-After": str(int(wait) + 1)})
        try:
            caller = await callers.by_key(key.strip())
            if caller is None:
                attempts.failed(address, now)
                return _page(next, "This is no key, or it has been revoked.", 401)
            if "read" not in caller.scopes:
                return _page(next, "This key is not for looking: it has not got the scope “read”.", 403)
            secret = await callers.log_in(key.strip())
        except Unavailable:
            return _page(next, "The database is away: try again in a moment.", 503, {"Retry-After": RETRY_AFTER})
        answer = RedirectResponse(_local(next), 303)
        answer.set_cookie(
            cookie,
            secret,
            max_age=int(SESSION_HOURS * 3600),
            httponly=True,
            samesite="strict",
            secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
        )
        return answer

    @routes.post(LOGOUT, dependencies=[needs(None)])
    async def log_out(request: Request) -> Response:
        """The session is over, in every window."""
        try:
            await callers.log_out(caller_of(request.scope))
        except Unavailable:
            return Response("The database is away: try again in a moment.", 503, {"Retry-After": RETRY_AFTER})
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(cookie, httponly=True, samesite="strict")
        return answer

    return routes


def _page(wanted: str, alert: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    said = f'<p role="alert">{html.escape(alert)}</p>' if alert else ""
    text = _PAGE.format(said=said, login=LOGIN, next=html.escape(_local(wanted)), most=MOST_KEY)
    return HTMLResponse(text, status, _HEADERS | (headers or {}))


def _local(wanted: str) -> str:
    """Where to go after: a path of ours, never another site."""
    foreign = not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or not wanted.isprintable()
    return "/" if foreign else wanted
