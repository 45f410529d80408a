"""A home folder of its own, and small tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`TUNESMITH_HOME` in a temporary folder, no store but the one in there, no hub."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("TUNESMITH_HOME", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("TUNESMITH_STORE", raising=False)
        yield folder
