"""Column types that behave alike in SQLite and PostgreSQL."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

_NUL = "\x00"
_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")


class ByteOrderedText(TypeDecorator[str]):
    """Text, ordered by its bytes everywhere. U+FFFD stands for NUL, which PostgreSQL's text can't hold."""

    impl = _BYTEWISE
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is written."""
        return value.replace(_NUL, "\ufffd") if value is not None and _NUL in value else value


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, kept in UTC without saying so: SQLite has no time zones, and PostgreSQL's depend on the session."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What is written."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What is read."""
        return None if value is None else value.replace(tzinfo=UTC)
