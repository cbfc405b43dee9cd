"""The digest of a prediction's key. It is null for earlier predictions until `hindsight rebuild`."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("predictions", sa.Column("key_digest", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")))


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_column("predictions", "key_digest")
