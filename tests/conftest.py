"""The order of the test files: what takes longest begins first, so that no core waits for one long file at the end."""

from pathlib import Path

import pytest

LONG_FIRST = ("engine/test_kill_sweep.py", "e2e", "engine", "parity", "store", "cases")
"""Folders and files below `tests`, longest first; everything else follows as it was found."""

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort stably: the tests of a file stay together, in their own order."""
    items.sort(key=_place_of)


def _place_of(item: pytest.Item) -> int:
    path = item.path.relative_to(HERE).as_posix()
    return next((n for n, name in enumerate(LONG_FIRST) if path.startswith(name)), len(LONG_FIRST))
