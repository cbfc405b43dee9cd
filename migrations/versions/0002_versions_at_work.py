"""Failures by version, and indexes by version and time; no table of routes.

The registry decides which change of a route is in force: it applies all of them, in their order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def logged() -> list[sa.Column]:
    """Return the columns of the record in the log from which a row was made."""
    return [
        sa.Column("type", WORDS, nullable=False),
        sa.Column("logged", sa.DateTime(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("topic", WORDS, nullable=False),
        sa.Column("epoch", WORDS, nullable=False),
    ]


def upgrade() -> None:
    """Drop the table of routes; create the table of failures and the indexes."""
    op.drop_table("routes")
    op.create_table(
        "failures",
        sa.Column("prediction_id", WORDS, primary_key=True),
        sa.Column("task", WORDS, nullable=False),
        sa.Column("role", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.Column("time", sa.DateTime(), nullable=False),
        *logged(),
    )
    op.create_index("failures_of_version", "failures", ["task", "version", "time"])
    op.create_index("predictions_of_version", "predictions", ["task", "version", "time"])


def downgrade() -> None:
    """Undo the upgrade. The table of routes is empty until `hindsight rebuild`."""
    op.drop_index("predictions_of_version", "predictions")
    op.drop_table("failures")
    op.create_table(
        "routes",
        sa.Column("task", WORDS, primary_key=True),
        sa.Column("action", WORDS, nullable=False),
        sa.Column("champion", WORDS, nullable=False),
        sa.Column("canary", WORDS),
        sa.Column("data", sa.JSON(), nullable=False),
        *logged(),
    )
