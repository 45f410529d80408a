"""One suite for every database. PostgreSQL takes part when TUNESMITH_TEST_POSTGRES_URL names a
server to try it on."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tunesmith.testing.store_conformance import StoreConformance

SERVER = os.environ.get("TUNESMITH_TEST_POSTGRES_URL")


class TestSqlite(StoreConformance):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/a folder/100%.db"


if SERVER:

    class TestPostgres(StoreConformance):
        @pytest.fixture
        def url(self) -> Iterator[str]:
            server = make_url(SERVER).set(drivername="postgresql+psycopg")
            name = f"tunesmith_test_{secrets.token_hex(6)}"
            engine = create_engine(server, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            yield server.set(drivername="postgresql", database=name).render_as_string(
                hide_password=False
            )
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            engine.dispose()
