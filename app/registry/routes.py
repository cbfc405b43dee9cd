"""The route of a task: the version that answers a request, and the actions that change the route."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from app.errors import SetupError
from app.events.types import Role


@dataclass(frozen=True)
class Route:
    """The roles of versions: the canary answers its share, the champion the rest; shadows predict without answering."""

    champion: str
    canary: str | None = None
    canary_share: float = 0.0
    shadows: tuple[str, ...] = ()

    def assign(self, task: str, key: bytes) -> tuple[str, Role]:
        """Return the version that answers the requests of a key, and its role. They are constant for a route.

        The key is the request's id where a task is assigned by request (`RolloutSettings.assignment`).
        """
        if self.canary is not None and hash_fraction(task, self.canary, key) < self.canary_share:
            return self.canary, "canary"
        return self.champion, "champion"

    @property
    def serving_versions(self) -> tuple[str, ...]:
        """The versions that answer requests."""
        return (self.champion,) if self.canary is None else (self.champion, self.canary)

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions that have a role."""
        return (*self.serving_versions, *self.shadows)

    def role(self, version: str) -> Role | None:
        """Return the role of a version."""
        roles: dict[str | None, Role] = dict.fromkeys(self.shadows, "shadow")
        return (roles | {self.canary: "canary", self.champion: "champion"}).get(version)


def hash_fraction(task: str, canary: str, key: bytes) -> float:
    """Return a key's number in [0, 1), different for each canary. Keys below the share are answered by the canary.

    A key keeps the canary while the share grows. Another canary has other keys.
    """
    digest = sha256(f"{task}/{canary}/".encode() + key).digest()
    return int.from_bytes(digest[:8]) / 2**64


def promote(route: Route, version: str) -> Route:
    """Make the version the champion, without a canary. Raises `SetupError`."""
    if version == route.champion:
        raise SetupError(f"Version {version} is the champion already.", "There is nothing to do.")
    return Route(version, shadows=_without(route.shadows, version))


def set_canary(route: Route, version: str, share: float) -> Route:
    """Let the version answer a share of the requests, instead of any other canary. Raises `SetupError`."""
    if not 0 < share < 1:
        raise SetupError(f"A canary's share is above 0 and below 1, not {share:g}.", "Give one such as 0.05.")
    if version == route.champion:
        raise SetupError(f"Version {version} is the champion.", "A canary is another version than the champion.")
    return replace(route, canary=version, canary_share=share, shadows=_without(route.shadows, version))


def add_shadow(route: Route, version: str) -> Route:
    """Let the version predict without answering. Raises `SetupError`."""
    role = route.role(version)
    if role is not None:
        raise SetupError(f"Version {version} is the {role} already.", "Name one that has no role.")
    return replace(route, shadows=(*route.shadows, version))


def roll_back(route: Route, version: str | None, previous_champion: str | None) -> Route:
    """Take the role of a version away; None is the canary if there is one, else the champion. Raises `SetupError`.

    The previous champion replaces a champion, without a canary.
    """
    version = version or route.canary or route.champion
    role = route.role(version)
    if role is None:
        raise SetupError(f"Version {version} does not serve.", f"Name one of {', '.join(route.versions)}.")
    if role == "shadow":
        return replace(route, shadows=_without(route.shadows, version))
    if role == "canary":
        return replace(route, canary=None, canary_share=0.0)
    if previous_champion is None:
        raise SetupError(f"There was no champion before {version}.", "Promote another version in its place.")
    return Route(previous_champion, shadows=_without(route.shadows, previous_champion))


def _without(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return tuple(other for other in versions if other != version)


RouteLookup = Callable[[], Awaitable[Route]]
"""Returns a task's current route."""
