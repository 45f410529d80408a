"""Messages speak the field's words, in one form; `tools/plain_words.py` finds what does not."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "plain_words.py"


@pytest.fixture(scope="module")
def plain_words() -> ModuleType:
    specification = importlib.util.spec_from_file_location("plain_words", TOOL)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_no_message_of_the_program_has_a_word_of_the_dialect(plain_words: ModuleType) -> None:
    assert list(plain_words.find_findings()) == []


def test_a_word_of_the_dialect_is_found_in_literals_and_formatted_texts(
    plain_words: ModuleType,
) -> None:
    tree = ast.parse(
        '"""Nobody reads this."""\nx = f"{n} files: mend them"\ny = "nobody answers"\n'
    )
    assert sorted(plain_words.find_dialect(tree)) == [
        (2, "'mend' in ' files: mend them'"),
        (3, "'nobody' in 'nobody answers'"),
    ]


def test_a_single_word_is_a_name_and_no_message(plain_words: ModuleType) -> None:
    assert list(plain_words.find_dialect(ast.parse('x = {"nobody": 1}\n'))) == []


@pytest.mark.parametrize(
    ("call", "problems"),
    [
        ('DataError("x", "file is empty", hint="check the path")', []),
        ('DataError("x", "JSON file is empty")', []),
        ('DataError("x", f"{name} is empty")', []),
        ('MissingExtraError("x", "A PostgreSQL store")', []),
        ('DataError("x", "The file is empty")', ["a capital letter at the start of"]),
        ('RunNotFound("x", f"run {id} is gone.")', ["a period at the end of"]),
        ('DataError("x", "a" if b else "No file.")', ["a period", "a capital letter"]),
        ('DataError("x", "y", hint="Check it.")', ["a period at the end of"]),
    ],
)
def test_an_error_says_what_in_a_lower_case_clause_without_a_period(
    plain_words: ModuleType, call: str, problems: list[str]
) -> None:
    found = [text for _, text in plain_words.find_misshaped_errors(ast.parse(call))]
    assert len(found) == len(problems)
    assert all(text.startswith(start) for text, start in zip(found, problems, strict=True))
