"""The tables of the catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TABLES = (
    "candidates",
    "datasets",
    "dead_letters",
    "evaluations",
    "feedback",
    "models",
    "outcomes",
    "predictions",
    "route_changes",
    "routes",
    "runs",
    "versions",
)


def key(*names: str) -> list[sa.Column]:
    """Return the columns of a primary key."""
    return [sa.Column(name, WORDS, primary_key=True) for name in names]


def words(*names: str, nullable: bool = False) -> list[sa.Column]:
    """Return columns of text."""
    return [sa.Column(name, WORDS, nullable=nullable) for name in names]


def moments(*names: str, nullable: bool = False) -> list[sa.Column]:
    """Return columns of times, in UTC."""
    return [sa.Column(name, sa.DateTime(), nullable=nullable) for name in names]


def numbers(*names: str) -> list[sa.Column]:
    """Return columns of integers."""
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def logged() -> list[sa.Column]:
    """Return the columns of the record in the log from which a row was made."""
    return [*words("type"), *moments("logged"), *numbers("partition", "offset"), *words("topic", "epoch")]


def data() -> sa.Column:
    """Return the column of the event's data."""
    return sa.Column("data", sa.JSON(), nullable=False)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "predictions",
        *key("prediction_id"),
        *words("task", "role", "version", "request_source"),
        *words("subject", nullable=True),
        *moments("time"),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        data(),
        *logged(),
    )
    condition = {"sqlite_where": sa.text("waiting = 1"), "postgresql_where": sa.text("waiting")}
    op.create_index("predictions_waiting", "predictions", ["task", "time"], **condition)
    op.create_table(
        "feedback",
        *key("key"),
        *words("source", "id", "prediction_id", "task", "actor"),
        *moments("time"),
        data(),
        *logged(),
    )
    op.create_index("ix_feedback_actor", "feedback", ["actor"])
    op.create_index("ix_feedback_prediction_id", "feedback", ["prediction_id"])
    op.create_table(
        "outcomes",
        *key("prediction_id"),
        *words("task", "version"),
        sa.Column("score", sa.Double()),
        sa.Column("reward", sa.Double()),
        *moments("time"),
        data(),
        *logged(),
    )
    _create_registry_tables()


def _create_registry_tables() -> None:
    run = words("run_id", nullable=True)
    op.create_table("models", *key("task", "name"), *words("version"), *run, data(), *logged())
    run = words("run_id", nullable=True)
    op.create_table("versions", *key("task", "name", "version"), *run, data(), *logged())
    op.create_table("candidates", *key("task", "name", "version"), *words("run_id"), data(), *logged())
    passed = sa.Column("passed", sa.Boolean(), nullable=False)
    op.create_table("evaluations", *key("key"), *words("task", "name", "version", "run_id"), passed, data(), *logged())
    op.create_index("ix_evaluations_task", "evaluations", ["task"])
    for table, identity in (("routes", key("task")), ("route_changes", [*key("key"), *words("task")])):
        canary = words("canary", nullable=True)
        op.create_table(table, *identity, *words("action", "champion"), *canary, data(), *logged())
    op.create_index("ix_route_changes_task", "route_changes", ["task"])
    run = words("run_id", nullable=True)
    op.create_table("datasets", *key("content_hash", "location"), *words("task"), *run, data(), *logged())
    states = ("triggered", "built", "trained", "refused", "passed", "registered", "routed")
    op.create_table(
        "runs",
        *key("run_id"),
        *words("task"),
        *words("trigger", nullable=True),
        *moments(*states, nullable=True),
    )
    op.create_table(
        "dead_letters",
        *key("rejected_id"),
        *words("stage", "code", "reason", "source_topic"),
        *numbers("source_partition", "source_offset"),
        *words("event_source", "event_id"),
        *logged(),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in TABLES:
        op.drop_table(table)
