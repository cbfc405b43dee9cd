"""What a caller may do, and what a route needs: each route of `/v1` declares the scope without which it is refused."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from fastapi import HTTPException, Request, Security
from fastapi.params import Depends
from fastapi.security import APIKeyHeader
from pydantic import Field
from starlette.types import Scope as Connection

Scope = Literal["read", "feedback", "operate"]
"""`read`: look at all that there is, payloads included; `feedback`: what applications and people send, that is feedback
and blobs; `operate`: change routes, begin and end runs, replay. None includes another."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

KEY_HEADER = "X-API-Key"
_CALLER = "caller"
_KEY_HEADER_SCHEME = APIKeyHeader(
    name=KEY_HEADER, auto_error=False, description="As `hindsight keys create` prints it."
)


@dataclass(frozen=True)
class Caller:
    """Who calls: a key's name, if it has one, and what it may do. `session` is a browser's, if that has logged in."""

    name: str | None
    scopes: frozenset[Scope]
    session: str | None = None


ActorName = Annotated[str, Field(min_length=1, max_length=200, description="Who says so; without it, the key's name.")]
"""Of a request: who has a key for many people names whom it speaks for; who has one of their own needn't."""

UNRESTRICTED_CALLER = Caller(None, frozenset(SCOPES))
"""Whoever is on this machine, while there are no keys."""


def set_caller(connection: Connection, caller: Caller) -> None:
    """Note who calls, for `caller_of`."""
    connection.setdefault("state", {})[_CALLER] = caller


def get_caller(connection: Connection) -> Caller:
    """Who calls, by the ASGI scope of a request or a websocket that has passed the guard."""
    caller: Caller = connection["state"][_CALLER]
    return caller


class RequireScope:
    """A route's dependency: 403 for a caller without the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request, key: Annotated[Any, Security(_KEY_HEADER_SCHEME)]) -> None:
        """Raises HTTPException."""
        if self.scope not in get_caller(request.scope).scopes:
            raise HTTPException(403, missing_scope_message(self.scope))


class AllowAnyone:
    """The dependency of a route that is open to all, keys or not."""

    scope = None

    async def __call__(self) -> None:
        """Let everybody in."""


def require_scope(scope: Scope | None) -> Depends:
    """For a route's or a router's `dependencies`; None is open to all."""
    return Depends(AllowAnyone() if scope is None else RequireScope(scope))


REQUIRE_READ, REQUIRE_OPERATE = [require_scope("read")], [require_scope("operate")]
"""For a route's `dependencies`."""

AUTH_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"description": "The key is missing or wrong."},
    403: {"description": "The key has not got the scope that is needed."},
}
"""What a route may answer before it is asked."""


def missing_scope_message(scope: Scope) -> str:
    """What is said to a caller without a scope."""
    return f"the key has not got the scope {scope!r}: `hindsight keys create NAME --scope {scope}` makes one that has"


def resolve_actor(request: Request, requested: str | None) -> str:
    """Who says so: whom the request names, or the key by which it came. Raises HTTPException where that has no name."""
    actor = requested or get_caller(request.scope).name
    if actor is None:
        raise HTTPException(422, "actor: Field required")
    return actor
