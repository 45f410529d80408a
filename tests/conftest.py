"""What holds for all tests: the files that take longest begin first, and garbage is collected where
it can be."""

import gc
from pathlib import Path

import pytest

LONG_FIRST = ("engine/test_kill_sweep.py", "e2e", "engine", "parity", "store", "cases")
"""Folders and files below `tests`, longest first; everything else follows as it was found. A core
would wait else for one long file at the end."""

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort stably: the tests of a file stay together, in their own order."""
    items.sort(key=_place_of)


def _place_of(item: pytest.Item) -> int:
    path = item.path.relative_to(HERE).as_posix()
    return next((n for n, name in enumerate(LONG_FIRST) if path.startswith(name)), len(LONG_FIRST))


def pytest_collection_finish() -> None:
    """Leave what is imported by now (a million objects that stay) out of every full garbage
    collection.

    Each tuning asks for one; it takes 0.5 s of processor time with them, next to nothing without.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def example_plugin(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package `tunesmith_example`, as if it were installed."""
    folder = HERE / "plugins/example"
    monkeypatch.syspath_prepend(folder)
    return folder
