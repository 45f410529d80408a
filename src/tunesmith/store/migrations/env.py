"""Alembic's entry: runs inside the transaction, and under the lock, that `database.py` hands
over.
"""

from alembic import context

from tunesmith.store.tables import VERSION_TABLE, Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
