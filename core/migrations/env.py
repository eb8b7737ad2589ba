"""Alembic's entry: it runs inside the transaction that `upgrade` opened."""

from alembic import context

from core.schema_services import metadata

context.configure(target_metadata=metadata, render_as_batch=True, **context.config.attributes)
context.run_migrations()
