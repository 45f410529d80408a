"""The user's own prompts, from a file or a folder: each becomes a contender.

    prompts.txt           one prompt, or more, separated by lines `---`: NAME or NAME-1, NAME-2 ...
    prompts/              a folder of such files (.txt, .md, .prompt)
    prompts.yaml, .jsonl  a list of {name, prompt, system}; also .json. One of prompt and system may
                          be omitted

A prompt is the user message, with {input} or {{input}} where the question goes ({question} and
{prompt} mean the same); `system` is appended to the system message, and without a prompt the
question itself stays unchanged. Other braces stay as they are.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_text_file
from tunesmith.contenders.prompting.prompt_builder import PLACEHOLDER, PromptBuilder
from tunesmith.contenders.successive_halving import Candidate
from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.errors import RecipeError, truncate_list
from tunesmith.yaml_io import InvalidYaml, load_plain_yaml

KEYS = ("name", "prompt", "system")
TEXT_SUFFIXES = (".txt", ".md", ".prompt")
LIST_SUFFIXES = (".yaml", ".yml", ".json", ".jsonl")
MAX_FILE_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 30
"""Short enough to be part of a file name after the name of a remote model."""
# No `..`: the name becomes part of a path.
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_ANY_PLACEHOLDER = re.compile(r"\{\{?\s*(\w+)\s*\}?\}")


@dataclass(frozen=True, slots=True)
class UserPrompt:
    """A named prompt: a template around the question, a text for the system message, or both."""

    name: str
    template: str = ""
    system: str = ""

    @property
    def candidate(self) -> Candidate:
        """The prompt as a candidate."""
        return Candidate.from_builder(
            "plain prompt",
            f'your own prompt "{self.name}"',
            PromptBuilder(self.system, template=self.template),
        )


def read_user_prompts(path: Path) -> list[UserPrompt]:
    """All prompts of a file or folder, in the order in which they are written.

    Errors: `RecipeError`, which lists all faults together.
    """
    faults: list[str] = []
    prompts = [prompt for file in _list_files(path) for prompt in _read_prompts(file, faults)]
    faults += [
        f"{n} prompts called {name}"
        for name, n in Counter(one.name for one in prompts).items()
        if n > 1
    ]
    if not prompts and not faults:
        faults.append("no prompt")
    if faults:
        raise RecipeError(
            "bad-prompts",
            "no usable prompts",
            at=f"evaluation.prompts {path}",
            got=truncate_list(faults),
            hint=(
                "write {input} where the question belongs; or use {name, system} in a YAML "
                "list (docs/guide/recipes.md)"
            ),
        )
    return prompts


def _list_files(path: Path) -> list[Path]:
    try:
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        paths = [one for one in paths if not one.name.startswith(".")]
        unfit = [
            one.name
            for one in paths
            if not one.is_file() or one.suffix.lower() not in (*TEXT_SUFFIXES, *LIST_SUFFIXES)
        ]
        unfit += [
            f"{one.name} (more than 1 MiB)"
            for one in paths
            if one.is_file() and one.stat().st_size > MAX_FILE_BYTES
        ]
    except OSError as error:
        raise _make_read_error(path, error.strerror or str(error)) from None
    if not path.exists():
        raise _make_read_error(path, "no such file or folder")
    if unfit:
        raise _make_read_error(path, truncate_list(unfit))
    return paths


def _make_read_error(path: Path, got: str) -> RecipeError:
    return RecipeError(
        "no-prompts",
        "cannot read the prompts",
        at=f"evaluation.prompts {path}",
        got=got,
        hint=(
            f"use a file that ends in {', '.join((*TEXT_SUFFIXES, *LIST_SUFFIXES))}; or a "
            "folder of such files"
        ),
    )


def _read_prompts(file: Path, faults: list[str]) -> Iterator[UserPrompt]:
    try:
        text = read_text_file(file)
    except (OSError, UnicodeDecodeError) as error:
        raise _make_read_error(file, str(error)) from None
    if file.suffix.lower() in LIST_SUFFIXES:
        yield from _read_list(file, text, faults)
        return
    parts = [part.strip("\n") for part in re.split(r"(?m)^---[ \t]*$", text)]
    parts = [part for part in parts if part.strip()]
    # The stem becomes part of a contender's name, for which `_NAME` gives the allowed characters.
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", file.stem).strip("-_.") or "prompt"
    if not parts:
        faults.append(f"{file.name} is empty")
    for number, part in enumerate(parts, start=1):
        name = (
            f"{stem[: MAX_NAME_CHARACTERS - 4]}-{number}"
            if len(parts) > 1
            else stem[:MAX_NAME_CHARACTERS]
        )
        yield from _check_prompt(file, name, part, "", faults)


def _read_list(file: Path, text: str, faults: list[str]) -> Iterator[UserPrompt]:
    try:
        if file.suffix.lower() == ".jsonl":
            rows: Any = [parse_json(line.encode()) for line in text.splitlines() if line.strip()]
        else:
            rows = (
                parse_json(text.encode())
                if file.suffix.lower() == ".json"
                else load_plain_yaml(text)
            )
    except InvalidRow as bad:
        raise _make_read_error(file, bad.got) from None
    except InvalidYaml as error:
        raise _make_read_error(
            file, f"{error}, line {error.line}" if error.line else str(error)
        ) from None
    if not isinstance(rows, list):
        faults.append(f"{file.name} is not a list")
        return
    for number, row in enumerate(rows, start=1):
        yield from _read_row(file, number, row, faults)


def _read_row(file: Path, number: int, row: Any, faults: list[str]) -> Iterator[UserPrompt]:
    place = f"{file.name} prompt {number}"
    if not isinstance(row, dict) or any(not isinstance(value, str) for value in row.values()):
        faults.append(f"{place} is not a mapping of name, prompt, system to texts")
        return
    # Unknown keys are errors: a misspelled `prompt` would otherwise be an empty prompt.
    for key in row.keys() - set(KEYS):
        near = get_close_matches(str(key), KEYS, n=1)
        faults.append(f"{place} has {str(key)!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    if not row.keys() <= set(KEYS):
        return
    name = row.get("name", "")
    if not name or len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        faults.append(
            f"{place} needs a name of letters, digits, dots, _ and -, at most {MAX_NAME_CHARACTERS}"
        )
        return
    yield from _check_prompt(file, name, row.get("prompt", ""), row.get("system", ""), faults)


def _check_prompt(
    file: Path, name: str, template: str, system: str, faults: list[str]
) -> Iterator[UserPrompt]:
    if not template.strip() and not system.strip():
        faults.append(f"{name} of {file.name} is empty")
    elif template.strip() and not PLACEHOLDER.search(template):
        others = list(
            dict.fromkeys(match.group(0) for match in _ANY_PLACEHOLDER.finditer(template))
        )
        faults.append(
            f"{name} of {file.name} has no {{input}}"
            + (f" but {truncate_list(others)}" if others else "")
        )
    # The question is inserted into the user message only.
    elif PLACEHOLDER.search(system):
        faults.append(f"{name} of {file.name} has {{input}} in its system message")
    else:
        yield UserPrompt(name, template, system.strip())


def check_name_conflicts(prompts: Sequence[UserPrompt], taken: Sequence[str]) -> None:
    """Reject a prompt with the name of a built-in contender. Errors: `RecipeError`."""
    if same := sorted({one.name for one in prompts} & set(taken)):
        raise RecipeError(
            "same-name",
            "duplicate contender name",
            at="evaluation.prompts",
            got=truncate_list(same),
            hint="rename the prompt (its name in the YAML list, or its file)",
        )
