"""The tables. Each row is a whole record as JSON, plus the few columns that queries filter by.

A table changes only together with a new file in `migrations/versions/`; a test compares the two.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HEAD_REVISION = "0002"
"""The newest revision in `migrations/versions/`."""

VERSION_TABLE = "tunesmith_version"
"""Our own name for Alembic's version table, so that a database can be shared with another program
that uses Alembic.
"""


class Table(DeclarativeBase):
    """Base class of the tables."""


class DatasetRow(Table):
    """A data set, keyed by the fingerprint of its record."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    content: Mapped[str] = mapped_column(index=True)
    added: Mapped[str] = mapped_column(index=True)
    record: Mapped[dict[str, Any]] = mapped_column(JSON)


class RunRow(Table):
    """A run, keyed by its id."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    dataset: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    folder: Mapped[str]
    record: Mapped[dict[str, Any]] = mapped_column(JSON)


class EvaluationRow(Table):
    """An evaluation, keyed by run and the fingerprint of its record."""

    __tablename__ = "evaluations"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    metric: Mapped[str]
    added: Mapped[str]
    record: Mapped[dict[str, Any]] = mapped_column(JSON)


class ArtifactRow(Table):
    """An artifact of a run, keyed by the fingerprint of its record."""

    __tablename__ = "artifacts"
    __table_args__ = (Index("ix_artifacts_run_kind", "run", "kind"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    kind: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    added: Mapped[str]
    record: Mapped[dict[str, Any]] = mapped_column(JSON)


class TestSetAccessRow(Table):
    """An access to a test set, keyed by the fingerprint of its record."""

    __tablename__ = "looks"

    id: Mapped[str] = mapped_column(primary_key=True)
    test: Mapped[str] = mapped_column(index=True)
    contender: Mapped[str]
    run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    at: Mapped[str]
    record: Mapped[dict[str, Any]] = mapped_column(JSON)
