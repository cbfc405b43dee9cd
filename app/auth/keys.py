"""API keys and browsers' sessions, in the control tables. Of each secret only the hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.scopes import SCOPES, Scope
from app.catalog.control import ControlTable, create_control_tables
from app.catalog.engine import create_catalog_engine, read_transaction, write_transaction
from app.errors import SetupError

KEY_PREFIX = "hs_"
"""What a key begins with, so that it is known for one wherever it is found."""
SESSION_HOURS = 12.0
MAX_NAME_LENGTH = 100
_SECRET_BYTES = 32


class _KeyRow(ControlTable):
    __tablename__ = "api_keys"
    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    scopes: Mapped[str]
    created: Mapped[datetime]
    used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class _SessionRow(ControlTable):
    __tablename__ = "sessions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    until: Mapped[datetime]


@dataclass(frozen=True)
class ApiKey:
    """A key: the SHA-256 of its token, what it is called, what it may do; when it was last used, to the hour."""

    digest: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True)
class BrowserSession:
    """A browser that has logged in: the SHA-256 of its cookie, and of the key's token."""

    digest: str
    key: str
    until: datetime


def secret_digest(secret: str) -> str:
    """What is kept of a secret. A token has 256 random bits: that needs no salt, and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """The keys in the database at a SQLAlchemy URL. Every method raises `Unavailable` when that is away or locked."""

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._tables_created = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def create(self, name: str, scopes: frozenset[Scope]) -> str:
        """A new key's token, which is kept nowhere. Raises `SetupError` for a name that is taken or is none."""
        if not (name.isprintable() and name.strip() == name and 1 <= len(name) <= MAX_NAME_LENGTH):
            raise SetupError(f"{name!r} is no name for a key.", f"Take 1 to {MAX_NAME_LENGTH} printable characters.")
        if not scopes:
            raise SetupError("A key without a scope can do nothing.", f"Name some: {', '.join(SCOPES)}.")
        token = KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        row = {
            "digest": secret_digest(token),
            "name": name,
            "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
            "created": datetime.now(UTC),
        }
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            if connection.scalars(
                select(_KeyRow.digest).where(_KeyRow.name == name, _KeyRow.revoked.is_(None))
            ).first():
                raise SetupError(
                    f"There is a key {name!r} already.",
                    "Take another name, or revoke it.",
                )
            connection.execute(insert(_KeyRow), row)
        return token

    def revoke(self, name: str) -> None:
        """End a key, and the sessions of those who have logged in by it. Raises `SetupError` where there is none."""
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            active = _KeyRow.name == name, _KeyRow.revoked.is_(None)
            digest = connection.scalars(select(_KeyRow.digest).where(*active)).one_or_none()
            if digest is None:
                raise SetupError(f"There is no key {name!r} that could be revoked.", "See `hindsight keys list`.")
            connection.execute(update(_KeyRow).where(*active).values(revoked=datetime.now(UTC)))
            connection.execute(delete(_SessionRow).where(_SessionRow.key == digest))

    def all(self) -> list[ApiKey]:
        """All keys that there ever were, the oldest first."""
        self._ensure_tables()
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(_KeyRow.__table__).order_by(_KeyRow.created, _KeyRow.digest)).all()
        return [
            ApiKey(
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
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(update(_KeyRow).where(_KeyRow.digest == digest).values(used=datetime.now(UTC)))

    def sessions(self) -> list[BrowserSession]:
        """The sessions that have not run out."""
        self._ensure_tables()
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(_SessionRow.__table__).where(_SessionRow.until > datetime.now(UTC))).all()
        return [BrowserSession(row.digest, row.key, row.until) for row in rows]

    def begin_session(self, key: str) -> str:
        """A new session of the key with this digest: what its cookie holds, which is kept nowhere."""
        secret, now = secrets.token_urlsafe(_SECRET_BYTES), datetime.now(UTC)
        row = {"digest": secret_digest(secret), "key": key, "until": now + timedelta(hours=SESSION_HOURS)}
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(delete(_SessionRow).where(_SessionRow.until <= now))
            connection.execute(insert(_SessionRow), row)
        return secret

    def end_session(self, digest: str) -> None:
        """End a session, if there is one."""
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(delete(_SessionRow).where(_SessionRow.digest == digest))

    def _ensure_tables(self) -> None:
        if not self._tables_created:
            create_control_tables(self._engine)
            self._tables_created = True
