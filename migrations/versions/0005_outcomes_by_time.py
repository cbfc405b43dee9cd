"""An index of a task's outcomes by time: the triggers count those since the last run at each look."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("outcomes_of_task", "outcomes", ["task", "time"])


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_index("outcomes_of_task", "outcomes")
