"""What a version did since a moment; and no table of routes.

Which change of a route is in force is the registry's to say: it takes all of them, in their order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def logged() -> list[sa.Column]:
    """The columns that say which record in the log made the row."""
    return [
        sa.Column("type", WORDS, nullable=False),
        sa.Column("logged", sa.DateTime(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("topic", WORDS, nullable=False),
        sa.Column("epoch", WORDS, nullable=False),
    ]


def upgrade() -> None:
    """Make and drop."""
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
    """Back; the table of routes is empty: `hindsight rebuild` fills it."""
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
