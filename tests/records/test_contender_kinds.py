"""The table of contender kinds: its rows, and that nobody compares a kind's name beside it."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tunesmith.errors import RecordError
from tunesmith.records import ContenderSpec
from tunesmith.records.contender_kinds import (
    CONTENDER_KINDS,
    EXTERNAL,
    get_contender_kind,
    list_contender_kinds,
    list_planned_names,
)
from tunesmith.records.evaluation import join_scorer_names, split_scorer_name

SOURCE = Path(__file__).parents[2] / "src/tunesmith"
MAY_NAME_KINDS = {"records/contender_kinds.py": "the table itself"}
"""The modules that may compare a kind's name, each with its reason."""
NAME_TESTS = ("startswith", "endswith", "removeprefix", "removesuffix", "partition", "find")


def test_the_names_that_run_folders_hold_stay() -> None:
    assert [kind.name for kind in list_contender_kinds()] == [
        "outside",
        "zero-shot",
        "few-shot",
        "rag",
        "tuned",
        "tuned+rag",
    ]
    assert all(name == get_contender_kind(name).name for name in CONTENDER_KINDS)
    assert all(
        simpler.rank < elaborate.rank for simpler, elaborate in pairwise(list_contender_kinds())
    )
    planned = [*list_planned_names(trained=False), *list_planned_names(trained=True)]
    assert len(planned) == len(set(planned)) and EXTERNAL.name not in planned


def test_a_kind_that_is_not_in_the_table_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(RecordError, match="unknown-kind") as caught:
        _ = ContenderSpec(name="mine", kind="magic", description="").traits
    assert (caught.value.at, caught.value.got) == ("mine", "magic")
    assert all(kind in caught.value.hint for kind in CONTENDER_KINDS)
    assert get_contender_kind("rag").uses_retrieval


def test_the_names_of_a_scorer_and_a_judge_are_joined_and_split_in_one_place() -> None:
    assert join_scorer_names("label", "judge") == "label + judge"
    assert split_scorer_name(join_scorer_names("label", "judge")) == ["label", "judge"]
    assert split_scorer_name("label") == ["label"]


def test_no_module_beside_the_table_compares_a_kind_with_a_name() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).as_posix() not in MAY_NAME_KINDS
        for line in find_kind_tests(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "ask the kind's row (`traits`, records/contender_kinds.py) at " + ", ".join(
        found
    )
    assert all((SOURCE / path).is_file() for path in MAY_NAME_KINDS)


@pytest.mark.parametrize(
    "code",
    [
        'one.kind == "tuned"',
        '"rag" != one.kind',
        'kind in ("tuned", "other")',
        'one.kind.startswith("tuned")',
        'name.removeprefix("tuned+")',
        'KINDS = ("zero-shot", "few-shot")',
        'WORDS = {"rag": 1, "tuned": 2}',
        'match kind:\n    case "outside" | "x":\n        pass',
    ],
)
def test_the_search_finds_every_way_to_compare(code: str) -> None:
    assert list(find_kind_tests(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ['kind = "tuned"', 'f(kind="rag")', 'x == "prompt"', '{"rag": 1}', '"tuned" "x"']
)
def test_the_search_leaves_alone_what_compares_nothing(code: str) -> None:
    assert not list(find_kind_tests(ast.parse(code)))


def find_kind_tests(tree: ast.AST) -> Iterator[int]:
    """The lines where something is compared with a kind's name, or where two of these names are
    listed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(map(_names_kind, (node.left, *node.comparators))):
            yield node.lineno
        elif isinstance(node, ast.MatchValue) and _names_kind(node.value):
            yield node.value.lineno
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in NAME_TESTS
        ):
            if any(_names_kind(argument) or _is_prefix(argument) for argument in node.args):
                yield node.lineno
        elif isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            listed = node.keys if isinstance(node, ast.Dict) else node.elts
            if sum(_names_kind(one) for one in listed if one is not None) > 1:
                yield node.lineno


def _names_kind(node: ast.AST) -> bool:
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(map(_names_kind, node.elts))
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in CONTENDER_KINDS
    )


def _is_prefix(node: ast.AST) -> bool:
    """`tuned+`: how a name says that more than one thing is done."""
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.rstrip("+") in CONTENDER_KINDS
    )
