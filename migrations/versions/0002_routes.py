"""No table of routes: which change is in force is the registry's to say, for it takes all of them in their order."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Drop the table."""
    op.drop_table("routes")


def downgrade() -> None:
    """Make it again, empty: `hindsight rebuild` fills it."""
    op.create_table(
        "routes",
        sa.Column("task", WORDS, primary_key=True),
        sa.Column("action", WORDS, nullable=False),
        sa.Column("champion", WORDS, nullable=False),
        sa.Column("canary", WORDS),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("logged", sa.DateTime(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("topic", WORDS, nullable=False),
        sa.Column("epoch", WORDS, nullable=False),
    )
