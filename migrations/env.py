"""Alembic's environment: it migrates the catalog on the connection that `app.catalog.migrate` passes."""

from alembic import context

from app.catalog.orm import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
