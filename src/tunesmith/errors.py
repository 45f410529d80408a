"""Every error of tunesmith.

    TunesmithError                 exit code
    ├── InputError                 2   wrong usage or bad input; the base of what a user can fix
    │   ├── UsageError             2   wrong flags or arguments
    │   ├── DataError              2   examples that cannot be read or used
    │   ├── RecipeError            2   a recipe with wrong, unknown or contradicting keys
    │   ├── ModelError             2   a model name or folder that cannot be used
    │  ├── ResourceLimitExceeded  2  a chat template or tokenizer that takes too long or too much memory
    │   ├── RecordError            2   a record file that cannot be read
    │   ├── StoreError             2   the store cannot be opened or is newer than this program
    │   ├── RunError               2   a run folder that is missing, in use, or damaged
    │   ├── PluginError            2   a plugin that cannot be used, or a part that no plugin has
    │   └── MissingExtraError      2   an optional part that is not installed (also an ImportError)
    ├── GateFailed                 1   the answer is no: a check or a gate did not pass
    ├── TrainingError  1  training could not continue (loss not finite, out of memory at micro-batch 1)
    │   └── DiskFull               1   not enough disk space for a checkpoint
    ├── ProviderError              3   a provider refused, failed, or cannot be reached
    ├── BudgetExceeded             4   the budget that the user set is spent
    └── Interrupted              130   Ctrl-C, or 143 after SIGTERM; the message says what was saved

Each states what is wrong, where, what was found and what to do, in this form:

    error[data/no-answer]: 12 of 4,310 examples have nothing to learn from. where x.jsonl lines 88,
    91 · found … · do …
"""  # noqa: E501

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class TunesmithError(Exception):
    """An error with a code, a place, a finding and an advice.

    `code` is "area/slug"; pass only the slug, the area comes from the class.
    """

    area = "tunesmith"
    exit_code = 1

    def __init__(
        self, slug: str, what: str, *, where: str = "", found: str = "", do: str = ""
    ) -> None:
        self.code = f"{self.area}/{slug}"
        self.what = what
        self.where = where
        self.found = found
        self.do = do
        super().__init__(what)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={text!r}" for name, text in self.as_dict().items() if text)
        return f"{type(self).__name__}({parts})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by state: constructors differ, and a message may change after
        creation.
        """
        return _restore_error, (type(self), self.__dict__.copy())

    def __str__(self) -> str:
        details = [
            f"{word} {text}"
            for word, text in (("where", self.where), ("found", self.found), ("do", self.do))
            if text
        ]
        return f"error[{self.code}]: {self.what}" + (" " + " · ".join(details) if details else "")

    def as_dict(self) -> dict[str, str]:
        """The same five parts, for `--json`."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "found": self.found,
            "do": self.do,
        }


def _restore_error(kind: type[TunesmithError], state: dict[str, Any]) -> TunesmithError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (error.what,)
    return error


class InputError(TunesmithError):
    """Wrong usage or bad input; the user can fix it."""

    area = "input"
    exit_code = 2


class UsageError(InputError):
    """Flags or arguments that do not fit the command."""

    area = "usage"


class DataError(InputError):
    """Examples that cannot be read, or cannot be used as asked."""

    area = "data"


class RecipeError(InputError):
    """A recipe with unknown, wrong or contradicting keys; all of them are reported together."""

    area = "recipe"


class ModelError(InputError):
    """A model name or folder that cannot be used."""

    area = "model"


class ResourceLimitExceeded(InputError):
    """A chat template or a tokenizer, which is a third party's program, exceeded its limits.

    Not a `ModelError`: those concern one conversation or one folder and are sometimes collected;
    after this one nothing that needs the program can be done.
    """

    area = "model"


class RecordError(InputError):
    """A record file that is missing or invalid."""

    area = "record"


class StoreError(InputError):
    """The store cannot be opened, or was written by a newer version."""

    area = "store"


class RunError(InputError):
    """A run folder that is missing, in use, or damaged."""

    area = "run"


class PluginError(InputError):
    """A plugin that cannot be used, or a name that neither tunesmith nor a plugin knows."""

    area = "plugin"


class MissingExtraError(InputError, ImportError):
    """An optional part that is not installed; the message names the extra to install."""

    area = "install"

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            "missing-extra",
            f"{purpose} needs an optional part.",
            found="it is not installed",
            do=f'pip install "tunesmith[{extra}]"',
        )


class GateFailed(TunesmithError):
    """A check or a gate said no; nothing is broken."""

    area = "gate"
    exit_code = 1


class TrainingError(TunesmithError):
    """Training could not continue; what was saved before remains."""

    area = "training"
    exit_code = 1


class DiskFull(TrainingError):
    """Not enough disk space for a checkpoint: it needs `required_bytes` at `path`, where
    `free_bytes` are free. Earlier checkpoints are intact.
    """

    def __init__(self, path: str, required_bytes: int, free_bytes: int, do: str) -> None:
        self.path, self.required_bytes, self.free_bytes = path, required_bytes, free_bytes
        found = f"{required_bytes / 1e6:,.1f} MB are needed, {free_bytes / 1e6:,.1f} MB are free"
        super().__init__(
            "disk-full", "The disk has no room for a checkpoint.", where=path, found=found, do=do
        )


class ProviderError(TunesmithError):
    """A provider refused, failed or cannot be reached."""

    area = "provider"
    exit_code = 3


class BudgetExceeded(TunesmithError):
    """The budget the user set is spent."""

    area = "budget"
    exit_code = 4


class Interrupted(TunesmithError):
    """A stop was requested; usable results were saved. `exit_code` is 128 plus the signal's number,
    as in shells.

    It is not an error, and its text does not say so: `Interrupted. Saved in runs/x: ...
    Next: tunesmith resume ...`
    """

    area = "interrupted"
    exit_code = 130

    def __str__(self) -> str:
        where = f" in {self.where}" if self.where else ""
        saved = f" Saved{where}: {self.found}." if self.found else ""
        return f"{self.what}{saved}" + (f" Next: {self.do}" if self.do else "")


def format_command_line(*words: object) -> str:
    """A command of tunesmith, ready to be pasted into a shell. A `Path` that begins with `-` gets
    `./` in front.
    """
    return shlex.join(
        ["tunesmith", *(f"./{word}" if _is_flag_like(word) else str(word) for word in words)]
    )


def _is_flag_like(word: object) -> bool:
    return isinstance(word, Path) and str(word).startswith("-")


def truncate_list(items: Sequence[object], limit: int = 3) -> str:
    """For example `88, 91, 140 (9 more)`: the first items and the number of the others."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} ({len(items) - limit:,} more)"
