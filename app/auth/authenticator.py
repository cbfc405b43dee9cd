"""Identify callers by an API key or a session cookie, from a snapshot of the control tables that is seconds old."""

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
"""Maximum age of a snapshot: a revoked key may work for this long, in each process."""
RETRY_SECONDS = 0.25
"""Minimum time between two reads of the tables for unknown keys or sessions, which may just have been created."""
DATABASE_TIMEOUT_SECONDS = 1.0
"""Maximum wait for the database. After it the last snapshot is used."""
USE_RECORDING_INTERVAL = timedelta(hours=1)
"""Minimum time between two records of a key's last use."""


@dataclass(frozen=True)
class _KeySnapshot:
    """Active keys and sessions by digest, at one moment. `any_key_created` also counts revoked keys."""

    read_at: float
    keys: Mapping[str, ApiKey]
    sessions: Mapping[str, BrowserSession]
    any_key_created: bool


class Authenticator:
    """Identifies callers. While the database is unavailable the last snapshot holds: no key can be revoked then."""

    def __init__(self, keys: KeyStore, local_key: str | None, open_without_keys: bool) -> None:
        """Take the key of `app.auth.local_key`. `open_without_keys` admits everybody until the first key is created."""
        self._keys = keys
        self._open_without_keys = open_without_keys
        self._local_key_digest = None if local_key is None else secret_digest(local_key)
        self._snapshot: _KeySnapshot | None = None
        self._outage_reason = "the database does not answer"
        self._refresh_task: asyncio.Task[None] | None = None
        self._recording_tasks: set[asyncio.Task[None]] = set()

    async def authenticate_key(self, token: str) -> Caller | None:
        """Return the key's caller, or None for an unknown key. Raises `Unavailable`."""
        digest = secret_digest(token)
        if self._is_local_key(digest):  # needs no database
            return UNRESTRICTED_CALLER
        snapshot = await self._snapshot_since(self._oldest_allowed())
        if digest not in snapshot.keys:
            snapshot = await self._snapshot_after_miss()
        return self._caller_of_key(snapshot, digest)

    async def authenticate_session(self, secret: str) -> Caller | None:
        """Return the session's caller, or None for an unknown or expired session. Raises `Unavailable`."""
        digest = secret_digest(secret)
        snapshot = await self._snapshot_since(self._oldest_allowed())
        if digest not in snapshot.sessions:
            snapshot = await self._snapshot_after_miss()
        session = snapshot.sessions.get(digest)
        if session is None or session.until <= datetime.now(UTC):
            return None
        caller = UNRESTRICTED_CALLER if self._is_local_key(session.key) else self._caller_of_key(snapshot, session.key)
        return None if caller is None else Caller(caller.name, caller.scopes, digest)

    async def authenticate_anonymous(self) -> Caller | None:
        """Return the caller without key and session: unrestricted until the first key is created, then None.

        Raises `Unavailable`.
        """
        if not self._open_without_keys:
            return None
        return None if (await self._snapshot_since(self._oldest_allowed())).any_key_created else UNRESTRICTED_CALLER

    async def log_in(self, token: str) -> str:
        """Start a session of this key and return the cookie's value. Raises `Unavailable`."""
        return await asyncio.to_thread(self._keys.begin_session, secret_digest(token))

    async def log_out(self, caller: Caller) -> None:
        """End the caller's session, if there is one. Raises `Unavailable`."""
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
        """Record the key's use in the background."""
        if self._recording_tasks or (key.used is not None and datetime.now(UTC) - key.used < USE_RECORDING_INTERVAL):
            return

        async def record() -> None:
            try:
                await asyncio.to_thread(self._keys.use, key.digest)
                await self._snapshot_since(time.monotonic())
            except Unavailable as error:
                log.debug("the use of a key can't be recorded: %s", error)

        task = asyncio.create_task(record())
        self._recording_tasks.add(task)
        task.add_done_callback(self._recording_tasks.discard)

    def _oldest_allowed(self) -> float:
        return time.monotonic() - CACHE_SECONDS

    async def _snapshot_after_miss(self) -> _KeySnapshot:
        """Read the tables again for an unknown key or session: another process may just have created it."""
        now = time.monotonic()
        if self._snapshot is not None:
            await asyncio.sleep(self._snapshot.read_at + RETRY_SECONDS - now)
        return await self._snapshot_since(now)

    async def _snapshot_since(self, after: float) -> _KeySnapshot:
        """Return a snapshot read at `after` or later; an older one if the database doesn't answer."""
        for _ in range(2):  # a refresh that is under way may have begun too early
            if self._snapshot is not None and self._snapshot.read_at >= after:
                break
            if self._refresh_task is None or self._refresh_task.done():
                self._refresh_task = asyncio.create_task(self._refresh())
            await asyncio.wait({self._refresh_task}, timeout=DATABASE_TIMEOUT_SECONDS)
        if self._snapshot is None:
            raise Unavailable(f"the keys can't be read: {self._outage_reason}")
        return self._snapshot

    async def _refresh(self) -> None:
        read_at = time.monotonic()
        try:
            self._snapshot = await asyncio.to_thread(self._load_snapshot, read_at)
        except Unavailable as error:
            self._outage_reason = str(error)
            if self._snapshot is not None:
                self._snapshot = replace(self._snapshot, read_at=read_at)

    def _load_snapshot(self, read_at: float) -> _KeySnapshot:
        keys = self._keys.all()
        active = {key.digest: key for key in keys if key.revoked is None}
        sessions = {session.digest: session for session in self._keys.sessions()}
        return _KeySnapshot(read_at, active, sessions, bool(keys))
