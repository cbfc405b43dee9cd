"""API keys and browsers' sessions, in the control tables. Of each secret only the hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.scopes import SCOPES, Scope
from app.catalog.control import Control, make
from app.catalog.engine import engine_of, reading, writing
from app.errors import SetupError

PREFIX = "hs_"
"""What a key begins with, so that it is known for one wherever it is found."""
SESSION_HOURS = 12.0
MOST_NAME = 100
_BYTES = 32


class _Key(Control):
    __tablename__ = "api_keys"
    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    scopes: Mapped[str]
    created: Mapped[datetime]
    used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class _Session(Control):
    __tablename__ = "sessions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    until: Mapped[datetime]


@dataclass(frozen=True)
class Key:
    """A key: the SHA-256 of its token, what it is called, what it may do; when it was last used, to the hour."""

    digest: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True)
class Session:
    """A browser that has logged in: the SHA-256 of its cookie, and of the key's token."""

    digest: str
    key: str
    until: datetime


def digest_of(secret: str) -> str:
    """What is kept of a secret. A token has 256 random bits: that needs no salt, and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The keys in the database at a SQLAlchemy URL. Every method raises `Unavailable` when that is away or locked."""

    def __init__(self, url: str) -> None:
        self._engine = engine_of(url)
        self._made = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def create(self, name: str, scopes: frozenset[Scope]) -> str:
        """A new key's token, which is kept nowhere. Raises `SetupError` for a name that is taken or is none."""
        if not (name.isprintable() and name.strip() == name and 1 <= len(name) <= MOST_NAME):
            raise SetupError(f"{name!r} is no name for a key.", f"Take 1 to {MOST_NAME} printable characters.")
        if not scopes:
            raise SetupError("A key without a scope can do nothing.", f"Name some: {', '.join(SCOPES)}.")
        token = PREFIX + secrets.token_urlsafe(_BYTES)
        row = {
            "digest": digest_of(token),
            "name": name,
            "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
            "created": datetime.now(UTC),
        }
        self._ready()
        with writing(self._engine) as connection:
            if connection.scalars(select(_Key.digest).where(_Key.name == name, _Key.revoked.is_(None))).first():
                raise SetupError(
                    f"There is a key {name!r} already.",
                    "Take another name, or revoke it.",
                )
            connection.execute(insert(_Key), row)
        return token

    def revoke(self, name: str) -> None:
        """End a key, and the sessions of those who have logged in by it. Raises `SetupError` where there is none."""
        self._ready()
        with writing(self._engine) as connection:
            active = _Key.name == name, _Key.revoked.is_(None)
            digest = connection.scalars(select(_Key.digest).where(*active)).one_or_none()
            if digest is None:
                raise SetupError(f"There is no key {name!r} that could be revoked.", "See `hindsight keys list`.")
            connection.execute(update(_Key).where(*active).values(revoked=datetime.now(UTC)))
            connection.execute(delete(_Session).where(_Session.key == digest))

    def all(self) -> list[Key]:
        """All keys that there ever were, the oldest first."""
        self._ready()
        with reading(self._engine) as connection:
            rows = connection.execute(select(_Key.__table__).order_by(_Key.created, _Key.digest)).all()
        return [
            Key(
                row.digest,
                row.name,
                frozenset(scope for scope in SCOPES if scope in row.scopes.split()),
                row.created,
                row.used,
                row.revoked,
            )
            for row in rows
        ]

    def use(self, digest: str) -> None:
        """Note that a key is used now."""
        self._ready()
        with writing(self._engine) as connection:
            connection.execute(update(_Key).where(_Key.digest == digest).values(used=datetime.now(UTC)))

    def sessions(self) -> list[Session]:
        """The sessions that have not run out."""
        self._ready()
        with reading(self._engine) as connection:
            rows = connection.execute(select(_Session.__table__).where(_Session.until > datetime.now(UTC))).all()
        return [Session(row.digest, row.key, row.until) for row in rows]

    def begin_session(self, key: str) -> str:
        """A new session of the key with this digest: what its cookie holds, which is kept nowhere."""
        secret, now = secrets.token_urlsafe(_BYTES), datetime.now(UTC)
        row = {"digest": digest_of(secret), "key": key, "until": now + timedelta(hours=SESSION_HOURS)}
        self._ready()
        with writing(self._engine) as connection:
            connection.execute(delete(_Session).where(_Session.until <= now))
            connection.execute(insert(_Session), row)
        return secret

    def end_session(self, digest: str) -> None:
        """End a session, if there is one."""
        self._ready()
        with writing(self._engine) as connection:
            connection.execute(delete(_Session).where(_Session.digest == digest))

    def _ready(self) -> None:
        if not self._made:
            make(self._engine)
            self._made = True
