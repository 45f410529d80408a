"""What every reader of data files promises, as tests. Subclass it, implement two methods, let
pytest collect the class:

class TestMyReader(ReaderConformance):
    suffix = ".mine"
    def get_reader(self): return read_mine
    def write(self, path, rows): ...
"""

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.read.file_formats import FileReader
from tunesmith.data.read.row_errors import ROW_ERROR_KINDS, Row, RowError
from tunesmith.errors import DataError

ROWS = [
    {
        "prompt": f"question {number}: \u00e4\u00df \U0001f600",
        "completion": f'an "answer"\nof two lines, {number}',
    }
    for number in range(5)
]
HOSTILE_FILES = [
    b"",
    b"\0",
    b"\xff\xfe\0",
    b"{",
    b"[" * 10_000,
    b'"' * 999,
    b"\xed\xa0\x80",
    b"a,b\n" * 99,
    b"\n" * 99,
]


class ReaderConformance:
    """The contract: rows come back complete, in order and numbered; a broken file is a `DataError`
    or row errors.
    """

    suffix = ""

    def get_reader(self) -> FileReader:
        raise NotImplementedError

    def write(self, path: Path, rows: list[dict[str, Any]]) -> None:
        """Write these rows in the format, as its usual programs do."""
        raise NotImplementedError

    def test_rows_come_back_whole_and_in_their_order(self, tmp_path: Path) -> None:
        path = tmp_path / f"data{self.suffix}"
        self.write(path, ROWS)
        found = list(self.get_reader()(path))
        assert [row.values for row in found if isinstance(row, Row)] == ROWS and len(found) == len(
            ROWS
        )
        lines = [row.line for row in found]
        assert lines == sorted(set(lines)) and lines[0] >= 1

    @pytest.mark.parametrize("content", HOSTILE_FILES)
    def test_a_broken_file_is_told_of_and_never_a_crash(
        self, content: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / f"data{self.suffix}"
        path.write_bytes(content)
        try:
            found = list(self.get_reader()(path))
        except DataError as error:
            assert str(path) in error.at and error.hint
            return
        assert all(isinstance(row, Row | RowError) for row in found)
        assert {row.code for row in found if isinstance(row, RowError)} <= ROW_ERROR_KINDS.keys()

    def test_reading_leaves_the_file_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / f"data{self.suffix}"
        self.write(path, ROWS)
        before = path.read_bytes()
        assert list(self.get_reader()(path)) == list(self.get_reader()(path))
        assert path.read_bytes() == before
