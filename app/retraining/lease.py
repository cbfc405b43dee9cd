"""The lease of a task's retraining: one run at a time, over all replicas of the API, whoever crashes."""

from typing import Any

from sqlalchemy import Float, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.catalog.control import ControlTable, create_control_tables, database_clock
from app.catalog.engine import control_transaction, create_catalog_engine, wrap_errors


class Lease(ControlTable):
    """Who may retrain a task, and until when: seconds since 1970."""

    __tablename__ = "leases"
    task: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    run_id: Mapped[str]
    until: Mapped[float] = mapped_column(Float(53))


class Leases:
    """The leases in the database at a SQLAlchemy URL. Every method raises `Unavailable` when that is away or locked.

    A lease is held by a holder (a replica) for a run. Who holds one renews it well before it runs out; who can't, or is
    told that it is lost, ends the run: another may have begun.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_catalog_engine(url)
        self._now = database_clock(self._engine)
        create_control_tables(self._engine)

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def acquire(self, task: str, holder: str, run_id: str, seconds: float) -> bool:
        """Take the task's lease for so long, if it is free, has run out or is this run's; whether it is held."""
        insert = (sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert)(Lease)
        row = insert.values(task=task, holder=holder, run_id=run_id, until=self._now + seconds)
        own = and_(Lease.holder == holder, Lease.run_id == run_id)
        taken = row.on_conflict_do_update(
            index_elements=[Lease.task],
            set_={name: row.excluded[name] for name in ("holder", "run_id", "until")},
            where=or_(Lease.until <= self._now, own),
        )
        return self._execute_change(taken.returning(Lease.task))

    def renew(self, task: str, holder: str, run_id: str, seconds: float) -> bool:
        """Hold it for so long from now; False if it is lost: it has run out, whether or not another has it."""
        held = Lease.task == task, Lease.holder == holder, Lease.run_id == run_id, Lease.until > self._now
        return self._execute_change(update(Lease).where(*held).values(until=self._now + seconds).returning(Lease.task))

    def release(self, task: str, holder: str, run_id: str) -> None:
        """Give it back. Of a lease that is not this run's nothing changes."""
        own = Lease.task == task, Lease.holder == holder, Lease.run_id == run_id
        self._execute_change(delete(Lease).where(*own).returning(Lease.task))

    def active_run_id(self, task: str) -> str | None:
        """The id of the run that holds the task's lease."""
        held = select(Lease.run_id).where(Lease.task == task, Lease.until > self._now)
        with wrap_errors(self._engine), self._engine.connect() as connection:
            return connection.scalars(held).one_or_none()

    def _execute_change(self, statement: Any) -> bool:
        """Runs a statement, atomic by itself; whether it found a row."""
        with control_transaction(self._engine) as connection:
            return connection.execute(statement).one_or_none() is not None
