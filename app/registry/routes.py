"""A task's route: which version answers a request, and what each action makes of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from app.errors import SetupError
from app.events.types import Role


@dataclass(frozen=True)
class Route:
    """Who serves: the champion answers but for the canary's share, shadows predict without answering."""

    champion: str
    canary: str | None = None
    canary_share: float = 0.0
    shadows: tuple[str, ...] = ()

    def assign(self, task: str, key: bytes) -> tuple[str, Role]:
        """The version that answers the requests of a key, always the same while the route is, and its role."""
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
        """What a version does here."""
        roles: dict[str | None, Role] = dict.fromkeys(self.shadows, "shadow")
        return (roles | {self.canary: "canary", self.champion: "champion"}).get(version)


def hash_fraction(task: str, canary: str, key: bytes) -> float:
    """A number in [0, 1) of a key, its own for each canary: those whose number is below the share have the canary.

    Who has it keeps it while the share grows; another canary has other keys.
    """
    digest = sha256(f"{task}/{canary}/".encode() + key).digest()
    return int.from_bytes(digest[:8]) / 2**64


def promote(route: Route, version: str) -> Route:
    """The version is the champion; a canary's trial is over. Raises `SetupError`."""
    if version == route.champion:
        raise SetupError(f"Version {version} is the champion already.", "There is nothing to do.")
    return Route(version, shadows=_without(route.shadows, version))


def set_canary(route: Route, version: str, share: float) -> Route:
    """The version answers a share of the requests, in place of any other canary. Raises `SetupError`."""
    if not 0 < share < 1:
        raise SetupError(f"A canary's share is above 0 and below 1, not {share:g}.", "Give one such as 0.05.")
    if version == route.champion:
        raise SetupError(f"Version {version} is the champion.", "A canary is another version than the champion.")
    return replace(route, canary=version, canary_share=share, shadows=_without(route.shadows, version))


def add_shadow(route: Route, version: str) -> Route:
    """The version predicts without answering. Raises `SetupError`."""
    role = route.role(version)
    if role is not None:
        raise SetupError(f"Version {version} is the {role} already.", "Name one that has no role.")
    return replace(route, shadows=(*route.shadows, version))


def roll_back(route: Route, version: str | None, previous_champion: str | None) -> Route:
    """Without this version; None is the canary if there is one, else the champion. Raises `SetupError`.

    A champion gives way to the one `before` it, if there was one, and a canary's trial is over.
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
    return tuple(one for one in versions if one != version)


RouteLookup = Callable[[], Awaitable[Route]]
"""Asks for a task's route of now."""
