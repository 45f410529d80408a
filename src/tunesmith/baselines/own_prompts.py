"""Prompts of the user's own, from a file or a folder: each is a contender.

    prompts.txt           one prompt, or several with a line `---` between them: NAME or NAME-1, NAME-2 ...
    prompts/              a folder of such files (.txt, .md)
    prompts.yaml, .jsonl  a list of {name, prompt, system}; .json too. One of prompt and system may be left out

A prompt is the user message with {input} or {{input}} where the question goes ({question} and {prompt} are the same);
`system` is added to the system message, and the question then stands as it is. Other braces stay as they are.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tunesmith.baselines.choosing import Candidate
from tunesmith.baselines.prompting import PLACEHOLDER, Prompting
from tunesmith.data.read.faults import BadRow
from tunesmith.data.read.jsonl import parse_json
from tunesmith.errors import RecipeError, name_some
from tunesmith.files import read_text_file
from tunesmith.plain_yaml import NotYaml, read_plain

KEYS = ("name", "prompt", "system")
TEXTS = (".txt", ".md", ".prompt")
LISTS = (".yaml", ".yml", ".json", ".jsonl")
LARGEST_BYTES = 1 << 20
LONGEST_NAME = 30
"""Behind the name of a remote model it must still be a file's name."""
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_OTHER = re.compile(r"\{\{?\s*(\w+)\s*\}?\}")


@dataclass(frozen=True, slots=True)
class OwnPrompt:
    """A prompt with its name: the user message around the question, what is added to the system message, or both."""

    name: str
    template: str = ""
    system: str = ""

    @property
    def candidate(self) -> Candidate:
        """The prompt as a way to ask."""
        return Candidate.of(
            "as it is", f'your own prompt "{self.name}"', Prompting(self.system, template=self.template)
        )


def read_prompts(path: Path) -> list[OwnPrompt]:
    """All prompts of a file or folder, in the order in which they stand.

    Errors: `RecipeError`, which names all that is wrong together.
    """
    faults: list[str] = []
    prompts = [prompt for file in _files(path) for prompt in _prompts_of(file, faults)]
    faults += [f"{n} prompts called {name}" for name, n in Counter(one.name for one in prompts).items() if n > 1]
    if not prompts and not faults:
        faults.append("no prompt")
    if faults:
        raise RecipeError(
            "bad-prompts", "These prompts cannot be asked.", where=f"evaluation.prompts {path}",
            found=name_some(faults),
            do="write {input} where the question goes, or give {name, system} in a YAML list (docs/guide/recipes.md)",
        )  # fmt: skip
    return prompts


def _files(path: Path) -> list[Path]:
    try:
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [one for one in found if not one.name.startswith(".")]
        unfit = [one.name for one in found if not one.is_file() or one.suffix.lower() not in (*TEXTS, *LISTS)]
        unfit += [
            f"{one.name} (more than 1 MiB)" for one in found if one.is_file() and one.stat().st_size > LARGEST_BYTES
        ]
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if not path.exists():
        raise _unreadable(path, "nothing there")
    if unfit:
        raise _unreadable(path, name_some(unfit))
    return found


def _unreadable(path: Path, found: str) -> RecipeError:
    return RecipeError(
        "no-prompts", "The prompts cannot be read.", where=f"evaluation.prompts {path}", found=found,
        do=f"give a file that ends in {', '.join((*TEXTS, *LISTS))}, or a folder of such files",
    )  # fmt: skip


def _prompts_of(file: Path, faults: list[str]) -> Iterator[OwnPrompt]:
    try:
        text = read_text_file(file)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, str(error)) from None
    if file.suffix.lower() in LISTS:
        yield from _listed(file, text, faults)
        return
    parts = [part.strip("\n") for part in re.split(r"(?m)^---[ \t]*$", text)]
    parts = [part for part in parts if part.strip()]
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", file.stem).strip("-_.") or "prompt"
    if not parts:
        faults.append(f"{file.name} is empty")
    for number, part in enumerate(parts, start=1):
        name = f"{stem[: LONGEST_NAME - 4]}-{number}" if len(parts) > 1 else stem[:LONGEST_NAME]
        yield from _checked(file, name, part, "", faults)


def _listed(file: Path, text: str, faults: list[str]) -> Iterator[OwnPrompt]:
    try:
        if file.suffix.lower() == ".jsonl":
            rows: Any = [parse_json(line.encode()) for line in text.splitlines() if line.strip()]
        else:
            rows = parse_json(text.encode()) if file.suffix.lower() == ".json" else read_plain(text)
    except BadRow as bad:
        raise _unreadable(file, bad.found) from None
    except NotYaml as error:
        raise _unreadable(file, f"{error}, line {error.line}" if error.line else str(error)) from None
    if not isinstance(rows, list):
        faults.append(f"{file.name} holds no list")
        return
    for number, row in enumerate(rows, start=1):
        yield from _row(file, number, row, faults)


def _row(file: Path, number: int, row: Any, faults: list[str]) -> Iterator[OwnPrompt]:
    where = f"{file.name} prompt {number}"
    if not isinstance(row, dict) or any(not isinstance(value, str) for value in row.values()):
        faults.append(f"{where} is not {{name, prompt, system}} with texts")
        return
    for key in row.keys() - set(KEYS):
        near = get_close_matches(str(key), KEYS, n=1)
        faults.append(f"{where} has {str(key)!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    if not row.keys() <= set(KEYS):
        return
    name = row.get("name", "")
    if not name or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        faults.append(f"{where} needs a name of letters, digits, dots, _ and -, at most {LONGEST_NAME}")
        return
    yield from _checked(file, name, row.get("prompt", ""), row.get("system", ""), faults)


def _checked(file: Path, name: str, template: str, system: str, faults: list[str]) -> Iterator[OwnPrompt]:
    if not template.strip() and not system.strip():
        faults.append(f"{name} of {file.name} is empty")
    elif template.strip() and not PLACEHOLDER.search(template):
        others = list(dict.fromkeys(match.group(0) for match in _OTHER.finditer(template)))
        faults.append(f"{name} of {file.name} has no {{input}}" + (f" but {name_some(others)}" if others else ""))
    elif PLACEHOLDER.search(system):
        faults.append(f"{name} of {file.name} has {{input}} in its system message")
    else:
        yield OwnPrompt(name, template, system.strip())


def without_name_of(prompts: Sequence[OwnPrompt], taken: Sequence[str]) -> None:
    """Refuse a prompt that is called as a contender of ours. Errors: `RecipeError`."""
    if same := sorted({one.name for one in prompts} & set(taken)):
        raise RecipeError(
            "same-name", "Another contender has the name of a prompt.", where="evaluation.prompts",
            found=name_some(same),            do="give it another name: in a YAML list by name, else by the file's",
        )  # fmt: skip
