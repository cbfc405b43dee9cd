"""Who a key or a session's cookie belongs to: what the control tables say, looked at again every few seconds."""

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.auth.keys import ApiKey, BrowserSession, KeyStore, secret_digest
from app.auth.scopes import UNRESTRICTED_CALLER, Caller
from app.errors import Unavailable

log = logging.getLogger(__name__)

CACHE_SECONDS = 2.0
"""So long after a key is revoked it may still open, in each process."""
RETRY_SECONDS = 0.25
"""What is not known is looked for once more, no sooner than this: it may just have been made."""
DATABASE_TIMEOUT_SECONDS = 1.0
"""A database that doesn't answer holds up nobody longer: what was last known holds."""
USE_RECORDING_INTERVAL = timedelta(hours=1)
"""A key's last use is written down no more often."""


@dataclass(frozen=True)
class _KeySnapshot:
    """What the tables said at a moment: by digest. `ever` is whether there was a key at any time."""

    read_at: float
    keys: Mapping[str, ApiKey]
    sessions: Mapping[str, BrowserSession]
    any_key_created: bool


class Authenticator:
    """Identifies callers. While the database is away what was last known holds: nobody can revoke a key then."""

    def __init__(self, keys: KeyStore, local_key: str | None, open_without_keys: bool) -> None:
        """`own` is `app.auth.local_key`'s; `unlocked`: nobody needs a key as long as none was ever made."""
        self._keys = keys
        self._open_without_keys = open_without_keys
        self._local_key_digest = None if local_key is None else secret_digest(local_key)
        self._snapshot: _KeySnapshot | None = None
        self._outage_reason = "the database does not answer"
        self._refresh_task: asyncio.Task[None] | None = None
        self._recording_tasks: set[asyncio.Task[None]] = set()

    async def authenticate_key(self, token: str) -> Caller | None:
        """Whose key this is; None for nobody's. Raises `Unavailable`."""
        digest = secret_digest(token)
        if self._is_local_key(digest):  # which opens whatever is away
            return UNRESTRICTED_CALLER
        known = await self._snapshot_since(self._oldest_allowed())
        if digest not in known.keys:
            known = await self._snapshot_after_miss()
        return self._caller_of_key(known, digest)

    async def authenticate_session(self, secret: str) -> Caller | None:
        """Whose session this is; None for nobody's. Raises `Unavailable`."""
        digest = secret_digest(secret)
        known = await self._snapshot_since(self._oldest_allowed())
        if digest not in known.sessions:
            known = await self._snapshot_after_miss()
        session = known.sessions.get(digest)
        if session is None or session.until <= datetime.now(UTC):
            return None
        caller = UNRESTRICTED_CALLER if self._is_local_key(session.key) else self._caller_of_key(known, session.key)
        return None if caller is None else Caller(caller.name, caller.scopes, digest)

    async def authenticate_anonymous(self) -> Caller | None:
        """Who has neither: anybody, on this machine, as long as there never was a key. Raises `Unavailable`."""
        if not self._open_without_keys:
            return None
        return None if (await self._snapshot_since(self._oldest_allowed())).any_key_created else UNRESTRICTED_CALLER

    async def log_in(self, token: str) -> str:
        """What the cookie of a new session of this key holds. Raises `Unavailable`."""
        return await asyncio.to_thread(self._keys.begin_session, secret_digest(token))

    async def log_out(self, caller: Caller) -> None:
        """End a session. Raises `Unavailable`."""
        if caller.session is not None:
            await asyncio.to_thread(self._keys.end_session, caller.session)
            await self._snapshot_since(time.monotonic())

    def _is_local_key(self, digest: str) -> bool:
        return self._local_key_digest is not None and hmac.compare_digest(digest, self._local_key_digest)

    def _caller_of_key(self, snapshot: _KeySnapshot, digest: str) -> Caller | None:
        key = snapshot.keys.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        self._record_use(key)
        return Caller(key.name, key.scopes)

    def _record_use(self, key: ApiKey) -> None:
        """Write down that a key is used, beside what it is used for."""
        if self._recording_tasks or (key.used is not None and datetime.now(UTC) - key.used < USE_RECORDING_INTERVAL):
            return

        async def note() -> None:
            try:
                await asyncio.to_thread(self._keys.use, key.digest)
                await self._snapshot_since(time.monotonic())
            except Unavailable as error:
                log.debug("the use of a key can't be noted: %s", error)

        noting = asyncio.create_task(note())
        self._recording_tasks.add(noting)
        noting.add_done_callback(self._recording_tasks.discard)

    def _oldest_allowed(self) -> float:
        return time.monotonic() - CACHE_SECONDS

    async def _snapshot_after_miss(self) -> _KeySnapshot:
        """What the tables say now, for whoever is not known: it may just have been made, maybe by another process."""
        now = time.monotonic()
        if self._snapshot is not None:
            await asyncio.sleep(self._snapshot.read_at + RETRY_SECONDS - now)
        return await self._snapshot_since(now)

    async def _snapshot_since(self, after: float) -> _KeySnapshot:
        """What the tables said no earlier than that; something older where the database doesn't answer."""
        for _ in range(2):  # a reading that is under way may have begun too early
            if self._snapshot is not None and self._snapshot.read_at >= after:
                break
            if self._refresh_task is None or self._refresh_task.done():
                self._refresh_task = asyncio.create_task(self._refresh())
            await asyncio.wait({self._refresh_task}, timeout=DATABASE_TIMEOUT_SECONDS)
        if self._snapshot is None:
            raise Unavailable(f"the keys can't be looked at: {self._outage_reason}")
        return self._snapshot

    async def _refresh(self) -> None:
        at = time.monotonic()
        try:
            self._snapshot = await asyncio.to_thread(self._load_snapshot, at)
        except Unavailable as error:
            self._outage_reason = str(error)
            if self._snapshot is not None:
                self._snapshot = replace(self._snapshot, read_at=at)

    def _load_snapshot(self, at: float) -> _KeySnapshot:
        keys = self._keys.all()
        active = {key.digest: key for key in keys if key.revoked is None}
        return _KeySnapshot(at, active, {session.digest: session for session in self._keys.sessions()}, bool(keys))
