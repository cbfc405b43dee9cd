"""Claims on predictions under review, so that no two reviewers get the same one, across all replicas of the API."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Float, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.catalog.control import ControlTable, create_control_tables, database_clock
from app.catalog.engine import control_transaction, create_catalog_engine

CLAIM_SECONDS = 120.0
"""A claim expires after this many seconds without renewal."""
REVIEWED_SECONDS = 3600.0
"""How long a reviewed prediction is shown to nobody: longer than the recorder needs to update the catalog."""


class Claim(ControlTable):
    """A reviewer's claim on a prediction, until a time in seconds since 1970."""

    __tablename__ = "claims"
    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[float] = mapped_column(Float(53), index=True)


class Claims:
    """The claims in the database at a SQLAlchemy URL. Every method raises `Unavailable` if that is down or locked."""

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._now = database_clock(self._engine)
        self._tables_created = False

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def acquire(self, prediction_ids: Sequence[str], holder: str, limit: int = 1) -> list[str]:
        """Claim the first `limit` of these that are free or the holder's own, and return them."""

        def claim(connection: Connection) -> list[str]:
            connection.execute(delete(Claim).where(Claim.until <= self._now))
            others = select(Claim.prediction_id).where(
                Claim.prediction_id.in_(prediction_ids), Claim.holder != holder, Claim.until > self._now
            )
            taken = set(connection.scalars(others))
            free = [prediction_id for prediction_id in prediction_ids if prediction_id not in taken][:limit]
            return [prediction_id for prediction_id in free if self._try_acquire(connection, prediction_id, holder)]

        return list(self._write(claim)) if prediction_ids else []

    def renew(self, holder: str) -> None:
        """Renew the holder's claims."""
        expiring = update(Claim).where(Claim.holder == holder, Claim.until < self._now + CLAIM_SECONDS)
        self._write(lambda connection: connection.execute(expiring.values(until=self._now + CLAIM_SECONDS)))

    def mark_reviewed(self, prediction_id: str, holder: str) -> None:
        """Keep a reviewed prediction out of the queues."""
        own = Claim.prediction_id == prediction_id, Claim.holder == holder
        reviewed = update(Claim).where(*own).values(until=self._now + REVIEWED_SECONDS)
        self._write(lambda connection: connection.execute(reviewed))

    def release(self, prediction_ids: Collection[str], holder: str) -> None:
        """Give up the holder's claims on these predictions."""
        own = Claim.prediction_id.in_(prediction_ids), Claim.holder == holder
        self._write(lambda connection: connection.execute(delete(Claim).where(*own)))

    def _try_acquire(self, connection: Connection, prediction_id: str, holder: str) -> bool:
        insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(Claim)
        row = insert.values(prediction_id=prediction_id, holder=holder, until=self._now + CLAIM_SECONDS)
        free = or_(Claim.holder == holder, Claim.until <= self._now)
        upsert = row.on_conflict_do_update(
            index_elements=[Claim.prediction_id],
            set_={"holder": row.excluded.holder, "until": row.excluded.until},
            where=free,
        )
        return connection.execute(upsert.returning(Claim.prediction_id)).one_or_none() is not None

    def _write(self, operation: Any) -> Any:
        if not self._tables_created:
            create_control_tables(self._engine)
            self._tables_created = True
        with control_transaction(self._engine) as connection:
            return operation(connection)
