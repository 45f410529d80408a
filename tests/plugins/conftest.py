"""A plugin of one module, installed for one test: its folder is on `sys.path` and gone again."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Install a package of one module: `install("pkg", "tunesmith.checks", "name", "attribute",
    "its source")`."""

    def write(package: str, group: str, name: str, attribute: str, source: str) -> None:
        folder = tmp_path / "site" / package
        info = folder / f"{package}-2.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}:{attribute}\n")
        (folder / f"{package}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return write
