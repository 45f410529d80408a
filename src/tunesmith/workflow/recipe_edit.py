"""What no data answers, asked once and written into a recipe: the section `circumstances`, and nothing else.

The file is the user's: only the lines of that section are replaced, so comments, order and every other key stay as they
were written. The result is read again before it takes the place of the file, and must say what it said before in every
other section.
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

SECTION = "circumstances"


@dataclass(frozen=True, slots=True)
class Question:
    """`choices` are what may be answered; empty: a number, as `number` says."""

    field: str
    text: str
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def key(self) -> str:
        """The recipe key."""
        return f"{SECTION}.{self.field}"


FREQUENCIES = ("never", "yearly", "monthly", "weekly", "daily")
QUESTIONS = (
    Question("task_changes", "How often does the task itself change (its labels, its format, its rules)?", FREQUENCIES),
    Question("facts_change", "How often do the facts behind the answers change?", FREQUENCIES),
    Question("used", "Is it used once, or does it go on?", ("once", "ongoing")),
    Question("requests_per_month", "How many requests a month (in all, if it is used once)?", unit="requests"),
    Question("data_may_go", "Where may the data go?", ("this machine", "own cloud", "anywhere")),
    Question("longest_wait_seconds", "How long may one answer take at most?", unit="seconds"),
)


def list_unanswered_questions(path: Path) -> list[Question]:
    """What the recipe does not say yet. Errors: `RecipeError`."""
    said = _read_recipe(path).circumstances
    return [question for question in QUESTIONS if getattr(said, question.field) is None]


def write_usage_context(path: Path, changes: Sequence[str]) -> UsageContext:
    """Write these `circumstances.a=b` into the recipe, which is made where there is none; returns what it says now.

    Errors: `UsageError` for a key of another section; `RecipeError` for a value that does not fit, or a recipe in which
    the section cannot be replaced without touching what else stands there.
    """
    for change in changes:
        if not change.partition("=")[0].strip().startswith(f"{SECTION}."):
            raise UsageError(
                "other-key", f"init writes only the keys of {SECTION}.", found=change,
                do=f"change other keys in {path} with an editor, or give them to a command with --set",
            )  # fmt: skip
    before = _read_recipe(path)
    circumstances = load_recipe(path if path.exists() else None, changes).circumstances
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    _write_if_equivalent(path, replace_section(text, format_section(circumstances)), before, circumstances)
    return circumstances


def format_section(circumstances: UsageContext) -> list[str]:
    """The section as YAML, each key with its question beside it."""
    dumped = dump_recipe(Recipe(circumstances=circumstances)).splitlines()
    begin, end = _find_section(dumped)
    texts = {question.field: question.text for question in QUESTIONS}
    lines = [f"{line}  # {texts[line.split(':')[0].strip()]}" for line in dumped[begin + 1 : end]]
    return [f"{SECTION}:  # what no data answers; null: nobody knows", *lines]


def replace_section(text: str, section: Sequence[str]) -> str:
    """The recipe's text with its section replaced, or put at the end."""
    lines = text.splitlines()
    begin, end = _find_section(lines)
    if begin == len(lines) and lines and lines[-1].strip():
        section = ["", *section]
    return "\n".join([*lines[:begin], *section, *lines[end:]]) + "\n"


def _find_section(lines: Sequence[str]) -> tuple[int, int]:
    """Where the section begins and ends, blank lines and comments behind it left out; (n, n) where there is none."""
    begin = next((i for i, line in enumerate(lines) if re.match(rf"{SECTION}\s*:", line)), len(lines))
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
            "preset", "A preset comes with tunesmith and is not yours to write.", found=str(path),
            do="name a file of your own: tunesmith init recipe.yaml",
        )  # fmt: skip
    return load_recipe(path) if path.exists() else Recipe()


def _write_if_equivalent(path: Path, text: str, before: Recipe, circumstances: UsageContext) -> None:
    """Only when the new text says the same as the old in all but this section."""
    beside = path.with_name(f".{path.name}.new")
    try:
        write_atomically(beside, text)
        found = load_recipe(beside)
    except RecipeError:
        found = None
    finally:
        beside.unlink(missing_ok=True)
    if found != before.model_copy(update={SECTION: circumstances}):
        raise RecipeError(
            "section-in-the-way", f"The section {SECTION} of this recipe cannot be replaced by itself.",
            where=str(path), found="it is not written as a block of its own lines; nothing was changed",
            do=f"write `{SECTION}:` on a line and its keys indented below, or remove the section",
        )  # fmt: skip
    write_atomically(path, text)
