"""Scopes of callers and routes. Each route of `/v1` declares the scope that its caller needs."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from fastapi import HTTPException, Request, Security
from fastapi.params import Depends
from fastapi.security import APIKeyHeader
from pydantic import Field
from starlette.types import Scope as Connection

Scope = Literal["read", "feedback", "operate"]
"""`read`: read everything, payloads included; `feedback`: send and retract feedback, send blobs; `operate`: change
routes, start and end runs, replay. No scope includes another."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

KEY_HEADER = "X-API-Key"
_CALLER = "caller"
_KEY_HEADER_SCHEME = APIKeyHeader(
    name=KEY_HEADER, auto_error=False, description="The key that `hindsight keys create` printed."
)


@dataclass(frozen=True)
class Caller:
    """The sender of a request: the name and scopes of its key, and the digest of its browser session, if any."""

    name: str | None
    scopes: frozenset[Scope]
    session: str | None = None


ActorName = Annotated[
    str, Field(min_length=1, max_length=200, description="The person behind the request. Default: the key's name.")
]
"""Optional field of a request. Clients set it if one key is shared by several people."""

UNRESTRICTED_CALLER = Caller(None, frozenset(SCOPES))
"""Caller by the local key, or on this machine while there are no keys."""


def set_caller(connection: Connection, caller: Caller) -> None:
    """Store the caller for `get_caller`."""
    connection.setdefault("state", {})[_CALLER] = caller


def get_caller(connection: Connection) -> Caller:
    """Return the caller from the ASGI scope of a request or a websocket that passed `AuthMiddleware`."""
    caller: Caller = connection["state"][_CALLER]
    return caller


class RequireScope:
    """Dependency of a route that answers 403 to callers without the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request, key: Annotated[Any, Security(_KEY_HEADER_SCHEME)]) -> None:
        """Raise HTTPException if the caller lacks the scope."""
        if self.scope not in get_caller(request.scope).scopes:
            raise HTTPException(403, missing_scope_message(self.scope))


class AllowAnyone:
    """Dependency of a route that needs no key."""

    scope = None

    async def __call__(self) -> None:
        """Accept every caller."""


def require_scope(scope: Scope | None) -> Depends:
    """Return a dependency for a route or a router; None is open to all."""
    return Depends(AllowAnyone() if scope is None else RequireScope(scope))


REQUIRE_READ, REQUIRE_OPERATE = [require_scope("read")], [require_scope("operate")]
"""Values of a route's `dependencies`."""

AUTH_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"description": "The key is missing or wrong."},
    403: {"description": "The key lacks the scope that the route needs."},
}
"""Responses of the authentication, before the route's own code runs."""


def missing_scope_message(scope: Scope) -> str:
    """Return the message for a caller without the scope."""
    return f"the key lacks the scope {scope!r}: create one with `hindsight keys create NAME --scope {scope}`"


def resolve_actor(request: Request, requested: str | None) -> str:
    """Return the request's actor, or the key's name. Raises HTTPException if there is neither."""
    actor = requested or get_caller(request.scope).name
    if actor is None:
        raise HTTPException(422, "actor: Field required, because the request has no key with a name")
    return actor
