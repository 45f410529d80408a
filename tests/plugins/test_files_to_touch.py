"""How many files an outsider writes to add a part: counted on the example plugin, whose parts are
all found by their entry points."""

import ast
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example"
PACKAGE = "tunesmith_example"
MAX_FILES = {
    "tunesmith.checks": 2,
    "tunesmith.scorers": 2,
    "tunesmith.readers": 2,
    "tunesmith.methods": 3,
    "tunesmith.adapters": 3,
    "tunesmith.contenders": 3,
    "tunesmith.completers": 2,
    "tunesmith.exporters": 2,
    "tunesmith.training_services": 2,
}
"""Files of a part with its entry point in them, by the entry point's group."""

(PLUGIN,) = Distribution.discover(path=[str(EXAMPLE)])
POINTS = list(PLUGIN.entry_points)


def list_files(point: EntryPoint) -> set[str]:
    """The files of the part that an entry point names: its module, the module that its `build`
    names, what these import of the package, and the list of entry points."""
    waiting = {point.value.partition(":")[0]}
    build = getattr(point.load(), "build", "")
    waiting |= {build.partition(":")[0]} - {""}
    files = {"entry_points.txt"}
    while waiting:
        path = EXAMPLE / (waiting.pop().replace(".", "/") + ".py")
        if path.name not in files:
            files.add(path.name)
            waiting |= set(_list_imports(path))
    return files


def _list_imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [name for name in names if name.startswith(f"{PACKAGE}.")]


def test_every_seam_has_an_example() -> None:
    assert {point.group for point in POINTS} == MAX_FILES.keys()


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_part_takes_no_more_files_than_promised(point: EntryPoint, example_plugin: Path) -> None:
    files = list_files(point)
    assert len(files) <= MAX_FILES[point.group], sorted(files)
