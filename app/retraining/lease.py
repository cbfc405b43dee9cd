"""The lease of a task's retraining: one run at a time, over all replicas of the API, even after crashes."""

from typing import Any

from sqlalchemy import Float, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.catalog.control import ControlTable, create_control_tables, database_clock
from app.catalog.engine import control_transaction, create_catalog_engine, wrap_errors


class Lease(ControlTable):
    """The holder and the run that may retrain a task, and the end of the lease in seconds since 1970."""

    __tablename__ = "leases"
    task: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    run_id: Mapped[str]
    until: Mapped[float] = mapped_column(Float(53))


class Leases:
    """The leases in the database at a SQLAlchemy URL. Every method raises `Unavailable` if that is away or locked.

    A holder (a replica) has a lease for a run, and renews it well before it expires. A holder that can't renew it, or
    has lost it, ends the run: another replica may have started one.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._now = database_clock(self._engine)
        create_control_tables(self._engine)

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def acquire(self, task: str, holder: str, run_id: str, seconds: float) -> bool:
        """Lease the task for this time if it is free, has expired or is this run's; return whether it is leased."""
        insert = (sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert)(Lease)
        row = insert.values(task=task, holder=holder, run_id=run_id, until=self._now + seconds)
        own = and_(Lease.holder == holder, Lease.run_id == run_id)
        upsert = row.on_conflict_do_update(
            index_elements=[Lease.task],
            set_={name: row.excluded[name] for name in ("holder", "run_id", "until")},
            where=or_(Lease.until <= self._now, own),
        )
        return self._execute_change(upsert.returning(Lease.task))

    def renew(self, task: str, holder: str, run_id: str, seconds: float) -> bool:
        """Extend the lease to this time from now. Return False if it has expired, even if nobody else has it."""
        own = Lease.task == task, Lease.holder == holder, Lease.run_id == run_id, Lease.until > self._now
        return self._execute_change(update(Lease).where(*own).values(until=self._now + seconds).returning(Lease.task))

    def release(self, task: str, holder: str, run_id: str) -> None:
        """Give the lease back, if it is this run's."""
        own = Lease.task == task, Lease.holder == holder, Lease.run_id == run_id
        self._execute_change(delete(Lease).where(*own).returning(Lease.task))

    def active_run_id(self, task: str) -> str | None:
        """Return the id of the run that has the task's lease."""
        active = select(Lease.run_id).where(Lease.task == task, Lease.until > self._now)
        with wrap_errors(self._engine), self._engine.connect() as connection:
            return connection.scalars(active).one_or_none()

    def _execute_change(self, statement: Any) -> bool:
        """Execute one statement in a transaction; return whether it found a row."""
        with control_transaction(self._engine) as connection:
            return connection.execute(statement).one_or_none() is not None
