"""Looks at test sets."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "looks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("test", sa.String(), nullable=False),
        sa.Column("contender", sa.String(), nullable=False),
        sa.Column("run", sa.String(), sa.ForeignKey("runs.id"), nullable=True),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
    )
    op.create_index("ix_looks_test", "looks", ["test"])
