"""API keys and browser sessions in the control tables. Only the hash of a secret is stored."""

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
"""Prefix of every key, so that secret scanners and people recognize one."""
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
    """A key. `digest` is the SHA-256 of its token; `used` is exact to the hour."""

    digest: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True)
class BrowserSession:
    """A logged-in browser. `digest` is the SHA-256 of its cookie's value, `key` that of the key's token."""

    digest: str
    key: str
    until: datetime


def secret_digest(secret: str) -> str:
    """Return the stored form of a secret. A secret has 256 random bits, so it needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """The keys in the database at a SQLAlchemy URL. Every method raises `Unavailable` if that is down or locked."""

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._tables_created = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def create(self, name: str, scopes: frozenset[Scope]) -> str:
        """Create a key and return its token, which is not stored. Raises `SetupError` for an invalid or taken name."""
        if not (name.isprintable() and name.strip() == name and 1 <= len(name) <= MAX_NAME_LENGTH):
            raise SetupError(
                f"{name!r} is not a valid key name.",
                f"Use 1 to {MAX_NAME_LENGTH} printable characters, without spaces at the ends.",
            )
        if not scopes:
            raise SetupError("A key without a scope can do nothing.", f"Name at least one of: {', '.join(SCOPES)}.")
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
                raise SetupError(f"There is a key {name!r} already.", "Choose another name, or revoke that key.")
            connection.execute(insert(_KeyRow), row)
        return token

    def revoke(self, name: str) -> None:
        """Revoke a key and end its sessions. Raises `SetupError` if there is no active key of this name."""
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            active = _KeyRow.name == name, _KeyRow.revoked.is_(None)
            digest = connection.scalars(select(_KeyRow.digest).where(*active)).one_or_none()
            if digest is None:
                raise SetupError(f"There is no active key {name!r}.", "See `hindsight keys list`.")
            connection.execute(update(_KeyRow).where(*active).values(revoked=datetime.now(UTC)))
            connection.execute(delete(_SessionRow).where(_SessionRow.key == digest))

    def all(self) -> list[ApiKey]:
        """Return all keys, revoked ones included, oldest first."""
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
        """Record that a key is used now."""
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(update(_KeyRow).where(_KeyRow.digest == digest).values(used=datetime.now(UTC)))

    def sessions(self) -> list[BrowserSession]:
        """Return the sessions that have not expired."""
        self._ensure_tables()
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(_SessionRow.__table__).where(_SessionRow.until > datetime.now(UTC))).all()
        return [BrowserSession(row.digest, row.key, row.until) for row in rows]

    def begin_session(self, key: str) -> str:
        """Start a session of the key with this digest; return the cookie's value, which is not stored."""
        secret, now = secrets.token_urlsafe(_SECRET_BYTES), datetime.now(UTC)
        row = {"digest": secret_digest(secret), "key": key, "until": now + timedelta(hours=SESSION_HOURS)}
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(delete(_SessionRow).where(_SessionRow.until <= now))
            connection.execute(insert(_SessionRow), row)
        return secret

    def end_session(self, digest: str) -> None:
        """End the session with this digest, if there is one."""
        self._ensure_tables()
        with write_transaction(self._engine) as connection:
            connection.execute(delete(_SessionRow).where(_SessionRow.digest == digest))

    def _ensure_tables(self) -> None:
        if not self._tables_created:
            create_control_tables(self._engine)
            self._tables_created = True
