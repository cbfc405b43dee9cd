"""Who a key or a session's cookie belongs to: what the control tables say, looked at again every few seconds."""

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.auth.keys import Key, Keys, Session, digest_of
from app.auth.scopes import ANYBODY, Caller
from app.errors import Unavailable

log = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""So long after a key is revoked it may still open, in each process."""
AGAIN_SECONDS = 0.25
"""What is not known is looked for once more, no sooner than this: it may just have been made."""
ANSWER_SECONDS = 1.0
"""A database that doesn't answer holds up nobody longer: what was last known holds."""
USED = timedelta(hours=1)
"""A key's last use is written down no more often."""


@dataclass(frozen=True)
class _Known:
    """What the tables said at a moment: by digest. `ever` is whether there was a key at any time."""

    at: float
    keys: Mapping[str, Key]
    sessions: Mapping[str, Session]
    ever: bool


class Callers:
    """Identifies callers. While the database is away what was last known holds: nobody can revoke a key then."""

    def __init__(self, keys: Keys, own: str | None, unlocked: bool) -> None:
        """`own` is `app.auth.local_key`'s; `unlocked`: nobody needs a key as long as none was ever made."""
        self._keys = keys
        self._unlocked = unlocked
        self._own = None if own is None else digest_of(own)
        self._known: _Known | None = None
        self._away = "the database does not answer"
        self._reading: asyncio.Task[None] | None = None
        self._noting: set[asyncio.Task[None]] = set()

    async def by_key(self, token: str) -> Caller | None:
        """Whose key this is; None for nobody's. Raises `Unavailable`."""
        digest = digest_of(token)
        if self._is_own(digest):  # which opens whatever is away
            return ANYBODY
        known = await self._look(self._lately())
        if digest not in known.keys:
            known = await self._missing()
        return self._of_key(known, digest)

    async def by_session(self, secret: str) -> Caller | None:
        """Whose session this is; None for nobody's. Raises `Unavailable`."""
        digest = digest_of(secret)
        known = await self._look(self._lately())
        if digest not in known.sessions:
            known = await self._missing()
        session = known.sessions.get(digest)
        if session is None or session.until <= datetime.now(UTC):
            return None
        caller = ANYBODY if self._is_own(session.key) else self._of_key(known, session.key)
        return None if caller is None else Caller(caller.name, caller.scopes, digest)

    async def by_nothing(self) -> Caller | None:
        """Who has neither: anybody, on this machine, as long as there never was a key. Raises `Unavailable`."""
        if not self._unlocked:
            return None
        return None if (await self._look(self._lately())).ever else ANYBODY

    async def log_in(self, token: str) -> str:
        """What the cookie of a new session of this key holds. Raises `Unavailable`."""
        return await asyncio.to_thread(self._keys.begin_session, digest_of(token))

    async def log_out(self, caller: Caller) -> None:
        """End a session. Raises `Unavailable`."""
        if caller.session is not None:
            await asyncio.to_thread(self._keys.end_session, caller.session)
            await self._look(time.monotonic())

    def _is_own(self, digest: str) -> bool:
        return self._own is not None and hmac.compare_digest(digest, self._own)

    def _of_key(self, known: _Known, digest: str) -> Caller | None:
        key = known.keys.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        self._note(key)
        return Caller(key.name, key.scopes)

    def _note(self, key: Key) -> None:
        """Write down that a key is used, beside what it is used for."""
        if self._noting or (key.used is not None and datetime.now(UTC) - key.used < USED):
            return

        async def note() -> None:
            try:
                await asyncio.to_thread(self._keys.use, key.digest)
                await self._look(time.monotonic())
            except Unavailable as error:
                log.debug("the use of a key can't be noted: %s", error)

        noting = asyncio.create_task(note())
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    def _lately(self) -> float:
        return time.monotonic() - FRESH_SECONDS

    async def _missing(self) -> _Known:
        """What the tables say now, for whoever is not known: it may just have been made, maybe by another process."""
        now = time.monotonic()
        if self._known is not None:
            await asyncio.sleep(self._known.at + AGAIN_SECONDS - now)
        return await self._look(now)

    async def _look(self, after: float) -> _Known:
        """What the tables said no earlier than that; something older where the database doesn't answer."""
        for _ in range(2):  # a reading that is under way may have begun too early
            if self._known is not None and self._known.at >= after:
                break
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading}, timeout=ANSWER_SECONDS)
        if self._known is None:
            raise Unavailable(f"the keys can't be looked at: {self._away}")
        return self._known

    async def _read(self) -> None:
        at = time.monotonic()
        try:
            self._known = await asyncio.to_thread(self._tables, at)
        except Unavailable as error:
            self._away = str(error)
            if self._known is not None:
                self._known = replace(self._known, read_at=at)

    def _tables(self, at: float) -> _Known:
        keys = self._keys.all()
        active = {key.digest: key for key in keys if key.revoked is None}
        return _Known(at, active, {session.digest: session for session in self._keys.sessions()}, bool(keys))
