"""What `tools/readability.py` counts: right values on small texts."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "readability.py"


@pytest.fixture(scope="module")
def readability() -> ModuleType:
    specification = importlib.util.spec_from_file_location("readability", TOOL)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "is_verb"),
    [
        ("count_words", True), ("_count", True), ("from_list", True), ("is_open", True),
        ("from_", False), ("word_count", False), ("", False),
    ],
)  # fmt: skip
def test_a_verb_or_the_preposition_of_a_converter_begins_a_name(
    readability: ModuleType, name: str, is_verb: bool
) -> None:
    assert readability.begins_with_verb(name) is is_verb


@pytest.mark.parametrize(
    ("name", "is_bare"),
    [("words_of", True), ("of_all", True), ("of", True), ("count_of_words", False)],
)
def test_a_bare_of_stands_at_an_end(readability: ModuleType, name: str, is_bare: bool) -> None:
    assert readability.has_bare_of(name) is is_bare


def test_dunders_properties_and_overrides_are_not_counted(readability: ModuleType) -> None:
    tree = ast.parse(
        "class A:\n"
        "    def __init__(self): ...\n"
        "    @property\n    def size(self): ...\n"
        "    @size.setter\n    def size(self, value): ...\n"
        "    @functools.cached_property\n    def weight(self): ...\n"
        "    @override\n    def words(self): ...\n"
        "    @staticmethod\n    def make(): ...\n"
        "async def send(): ...\n"
    )
    assert sorted(node.name for node in readability.list_functions(tree)) == ["make", "send"]


def test_a_comment_to_a_tool_is_none(readability: ModuleType) -> None:
    text = "# why\nx = 1  # because\ny = 2  # noqa\nz = '# no'  # type: int\nf()  # fmt: off\n"
    assert readability.count_comments(text) == 2


def test_blanks_comments_and_docstrings_are_not_code(readability: ModuleType) -> None:
    docstring, value = '"""A module.\n\nMore.\n"""', '"""text\nthat is a value"""'
    text = f'{docstring}\n\n# why\nx = {value}\n\ndef f():\n    """Do."""\n    return x\n'
    assert readability.count_code_lines(text) == 4


def test_two_modules_that_reach_each_other_are_a_circle(readability: ModuleType) -> None:
    assert readability.find_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]


def test_three_modules_in_a_line_are_none(readability: ModuleType) -> None:
    assert readability.find_circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def write_package(source: Path, **texts: str) -> None:
    package = source / "p"
    package.mkdir(parents=True)
    for name, text in {"__init__": "", **texts}.items():
        (package / f"{name}.py").write_text(text)


def test_an_import_for_types_alone_closes_a_circle(readability: ModuleType, tmp_path: Path) -> None:
    write_package(
        tmp_path,
        a="from p.b import load\n",
        b="import typing\nif typing.TYPE_CHECKING:\n    from p import a\n\ndef load(): ...\n",
    )
    assert readability.describe(tmp_path)[-1] == "circles of imports: 1\n  p.a <-> p.b"


def test_every_figure_has_its_line(readability: ModuleType, tmp_path: Path) -> None:
    write_package(
        tmp_path,
        a="from p import b\n\ndef load(): ...\n",
        b="import os  # why\n\ndef size_of(): ...\n",
        c=f"x = '{'y' * 100}'  # fmt: skip\ny = 2\nz = 3\nw = 4\n",
    )
    assert readability.describe(tmp_path) == [
        "4 files, 10 lines, 2 functions",
        "begin with a verb: 50.0%",
        "have a bare `of`: 50.0%",
        "comments for each 100 lines of code: 12.5",
        "lines over 100 characters: 10.0%",
        "lines that the formatter skips: 1",
        "circles of imports: 0",
    ]
