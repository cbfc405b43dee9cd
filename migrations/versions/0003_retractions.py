"""Retractions of feedback, and an index by which feedback is found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table of retractions and the index."""
    op.create_table(
        "retractions",
        sa.Column("key", WORDS, primary_key=True),
        sa.Column("prediction_id", WORDS, nullable=False),
        sa.Column("actor", WORDS, nullable=False),
        sa.Column("retracts", WORDS, nullable=False),
        sa.Column("retracts_source", WORDS),
        sa.Column("time", sa.DateTime(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("logged", sa.DateTime(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("topic", WORDS, nullable=False),
        sa.Column("epoch", WORDS, nullable=False),
    )
    op.create_index("ix_retractions_prediction_id", "retractions", ["prediction_id"])
    op.create_index("ix_feedback_id", "feedback", ["id"])


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_index("ix_feedback_id", "feedback")
    op.drop_table("retractions")
