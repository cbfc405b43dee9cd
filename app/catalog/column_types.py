"""Column types with the same behaviour in SQLite and PostgreSQL."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

_NUL = "\x00"
_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")


class ByteOrderedText(TypeDecorator[str]):
    """Text, ordered by its bytes in both databases. U+FFFD replaces NUL, which PostgreSQL's text can't hold."""

    impl = _BYTEWISE
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the value to write."""
        return value.replace(_NUL, "\ufffd") if value is not None and _NUL in value else value


class UtcDateTime(TypeDecorator[datetime]):
    """A time, stored in UTC without a time zone: SQLite has none, and PostgreSQL's depends on the session."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the value to write."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the value that was read."""
        return None if value is None else value.replace(tzinfo=UTC)
