"""What no data answer, asked once and written into a recipe: the section `usage`, and
nothing else.

The file belongs to the user: only the lines of that section are replaced, so comments, order and
every other key stay as written. The result is parsed before it replaces the file, and every other
section must have the same values as before.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.atomic_io import write_atomically
from tunesmith.errors import RecipeError, UsageError
from tunesmith.recipe.recipe_loader import list_presets, load_recipe
from tunesmith.recipe.recipe_yaml import dump_recipe
from tunesmith.records import Recipe, UsageContext

SECTION, OLD_SECTION = "usage", "circumstances"
"""The recipe section of the usage context, and its name in earlier versions."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about the usage context; `choices` are the possible answers, empty for a number
    in `unit`.
    """

    field: str
    text: str
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def key(self) -> str:
        """The recipe key, for example `usage.recurrence`."""
        return f"{SECTION}.{self.field}"


FREQUENCIES = ("never", "yearly", "monthly", "weekly", "daily")
QUESTIONS = (
    Question(
        "task_change_frequency",
        "How often does the task itself change (its labels, its format, its rules)?",
        FREQUENCIES,
    ),
    Question(
        "fact_change_frequency", "How often do the facts behind the answers change?", FREQUENCIES
    ),
    Question("recurrence", "Is it used once or continuously?", ("once", "ongoing")),
    Question(
        "requests_per_month",
        "How many requests per month (in total, if it is used once)?",
        unit="requests",
    ),
    Question("data_residency", "Where may the data be sent?", ("local", "private_cloud", "any")),
    Question("max_wait_seconds", "What is the maximum time for one answer?", unit="seconds"),
)


def list_unanswered_questions(path: Path) -> list[Question]:
    """The questions that the recipe does not answer yet. Errors: `RecipeError`."""
    said = _read_recipe(path).usage
    return [question for question in QUESTIONS if getattr(said, question.field) is None]


def write_usage_context(path: Path, changes: Sequence[str]) -> UsageContext:
    """Write these `usage.a=b` into the recipe, which is created if missing; returns the
    resulting section.

    Errors: `UsageError` for a key of another section; `RecipeError` for an invalid value, or a
    recipe in which the section cannot be replaced without changing something else.
    """
    for change in changes:
        if not change.partition("=")[0].strip().startswith(f"{SECTION}."):
            raise UsageError(
                "other-key",
                f"init writes only the keys of {SECTION}",
                got=change,
                hint=(f"edit other keys in {path}; or pass them to a command with --set"),
            )
    before = _read_recipe(path)
    usage = load_recipe(path if path.exists() else None, changes).usage
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    _write_if_equivalent(path, replace_section(text, format_section(usage)), before, usage)
    return usage


def format_section(usage: UsageContext) -> list[str]:
    """The section as YAML lines, each key with its question as a comment."""
    dumped = dump_recipe(Recipe(usage=usage)).splitlines()
    begin, end = _find_section(dumped)
    texts = {question.field: question.text for question in QUESTIONS}
    lines = [f"{line}  # {texts[line.split(':')[0].strip()]}" for line in dumped[begin + 1 : end]]
    return [f"{SECTION}:  # usage context that the data do not show; null: not specified", *lines]


def replace_section(text: str, section: Sequence[str]) -> str:
    """The recipe's text with its section replaced, or appended at the end."""
    lines = text.splitlines()
    begin, end = _find_section(lines)
    if begin == len(lines) and lines and lines[-1].strip():
        section = ["", *section]
    return "\n".join([*lines[:begin], *section, *lines[end:]]) + "\n"


def _find_section(lines: Sequence[str]) -> tuple[int, int]:
    """First line and end of the section, without trailing blank lines and comments; (n, n) if there
    is none.
    """
    begin = next(
        (i for i, line in enumerate(lines) if re.match(rf"({SECTION}|{OLD_SECTION})\s*:", line)),
        len(lines),
    )
    end = min(begin + 1, len(lines))
    for i, line in _iterate_until_next_key(lines, begin + 1):
        if line.startswith((" ", "\t")) and not line.lstrip().startswith("#") and line.strip():
            end = i + 1
    return begin, end


def _iterate_until_next_key(lines: Sequence[str], begin: int) -> Iterator[tuple[int, str]]:
    for i, line in enumerate(lines[begin:], begin):
        if line.strip() and not line.startswith((" ", "\t", "#")):
            return
        yield i, line


def _read_recipe(path: Path) -> Recipe:
    if not path.exists() and str(path) in list_presets():
        raise UsageError(
            "preset",
            "presets of tunesmith cannot be changed",
            got=str(path),
            hint="pass your own file, for example tunesmith init recipe.yaml",
        )
    return load_recipe(path) if path.exists() else Recipe()


def _write_if_equivalent(path: Path, text: str, before: Recipe, usage: UsageContext) -> None:
    """Write the text only if all other sections parse to the same values as before."""
    beside = path.with_name(f".{path.name}.new")
    try:
        write_atomically(beside, text)
        found = load_recipe(beside)
    except RecipeError:
        found = None
    finally:
        beside.unlink(missing_ok=True)
    if found != before.replace(**{SECTION: usage}):
        raise RecipeError(
            "section-in-the-way",
            f"cannot update the section {SECTION} of this recipe",
            at=str(path),
            got="it is not a block with its own lines; nothing was changed",
            hint=f"write `{SECTION}:` on its own line with its keys indented below; or remove the "
            "section",
        )
    write_atomically(path, text)
