"""Every error of tunesmith, and the one form of its messages.

    TunesmithError                 exit code
    ├── InputError                 2   wrong usage or bad input; the base of what a user can fix
    │   ├── UsageError             2   wrong flags or arguments
    │   │   └── ConstraintNotEnforceable   an output format that decoding cannot enforce
    │   ├── DataError              2   examples that cannot be read or used
    │   │   └── NotRows                a JSON file without a list of examples
    │   ├── RecipeError            2   a recipe with wrong, unknown or contradicting keys
    │   ├── ModelError             2   a model name or folder that cannot be used
    │   ├── ResourceLimitExceeded  2   a chat template or tokenizer that exceeds its limits
    │   ├── RecordError            2   a record file that cannot be read
    │   │   └── NewerRecord            written by a newer version of tunesmith
    │   ├── StoreError             2   the store cannot be opened or is newer than this program
    │   │   ├── InvalidStoreUrl        TUNESMITH_STORE is not the URL of a store
    │   │   ├── RunNotFound            no run has this id
    │   │   └── StoreUnavailable       locked by another program, or its server cannot be reached
    │   ├── RunError               2   a run folder that is missing, in use, or damaged
    │   ├── PluginError            2   a plugin that cannot be used, or a part that no plugin has
    │   └── MissingExtraError      2   an optional dependency that is not installed (an ImportError)
    ├── GateFailed                 1   the answer is no: a check or a gate did not pass
    ├── TrainingError              1   training cannot continue (out of memory at micro-batch 1)
    │   ├── NonFiniteError             the loss or a gradient is NaN or infinite
    │   └── DiskFull                   not enough disk space for a checkpoint
    ├── ProviderError              3   a provider refused, failed, or cannot be reached
    │   └── ResponseFormatRefused      an endpoint without structured output
    └── Interrupted              130   Ctrl-C, or 143 after SIGTERM; the message says what was saved

Subclasses exist where control flow depends on them: code catches a type, never compares a code.

Errors, warnings and notes have one form (`format_message`): what is wrong, where, what was got and
what to do. `what` is a clause in lower case without a period, as in rustc and ruff:

    error[data/bad-json]: line 3 is not valid JSON
      at: train.jsonl:3
      got: {"a":
      hint: fix the line or delete it
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

E = TypeVar("E", bound="TunesmithError")

MAX_SHOWN_CHARACTERS = 2000
"""Longer values are cut in a message, which says how much is missing; `--json` has all of it."""


def format_message(
    severity: Literal["error", "warning", "note"],
    code: str,
    what: str,
    *,
    at: str = "",
    got: str = "",
    hint: str = "",
) -> str:
    """The text of an error, a warning or a note: one line for each part that is not empty."""
    lines = [f"{severity}[{code}]: {what.removesuffix('.')}"]
    for label, text in (("at", at), ("got", got), ("hint", hint)):
        if text:
            shown = truncate_text(text, MAX_SHOWN_CHARACTERS).strip("\n")
            # A value of several lines begins below its label, so that its lines stay aligned.
            lines.append(f"  {label}:" + (_indent(shown) if "\n" in shown else f" {shown}"))
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.split("\n"))


class TunesmithError(Exception):
    """An error with a code, and what is wrong, where, what was got, and what to do.

    `code` is "area/slug"; pass only the slug, the area comes from the class. An error cannot be
    changed after it was built (`replace` makes another one), and it survives pickle and copy.
    """

    area = "tunesmith"
    exit_code = 1

    def __init__(
        self, slug: str, what: str, *, at: str = "", got: str = "", hint: str = ""
    ) -> None:
        self.what = what
        self.at = at
        self.got = got
        self.hint = hint
        super().__init__(what)
        self.code = f"{self.area}/{slug}"  # last: `__setattr__` refuses every change from here on

    def __setattr__(self, name: str, value: object) -> None:
        # Python itself sets __traceback__, __cause__ and the like while an error is raised.
        if "code" in vars(self) and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be set: use replace()")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={text!r}" for name, text in self.as_dict().items() if text)
        return f"{type(self).__name__}({parts})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by state, because the constructors of subclasses differ."""
        return _restore_error, (type(self), self.__dict__.copy())

    def __str__(self) -> str:
        return format_message(
            "error", self.code, self.what, at=self.at, got=self.got, hint=self.hint
        )

    @property
    def summary(self) -> str:
        """What is wrong and what was got, in one line: for use within another message."""
        return f"{self.what} ({' '.join(self.got.split())})" if self.got else self.what

    def replace(
        self,
        *,
        what: str | None = None,
        at: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> Self:
        """A copy of this error, of the same type and code, with other texts."""
        changes = {"what": what, "at": at, "got": got, "hint": hint}
        state = self.__dict__ | {name: text for name, text in changes.items() if text is not None}
        return _restore_error(type(self), state)

    def as_dict(self) -> dict[str, str]:
        """The parts of the message, for `--json`."""
        return {
            "code": self.code,
            "what": self.what,
            "at": self.at,
            "got": self.got,
            "hint": self.hint,
        }


def _restore_error(kind: type[E], state: dict[str, Any]) -> E:
    error = kind.__new__(kind)
    error.args = (state["what"],)
    error.__dict__.update(state)
    if notes := state.get("__notes__"):
        error.__notes__ = list(notes)  # a note added to the copy must not appear on the original
    return error


class InputError(TunesmithError):
    """Wrong usage or bad input; the user can fix it."""

    area = "input"
    exit_code = 2


class UsageError(InputError):
    """Flags or arguments that do not fit the command."""

    area = "usage"


class ConstraintNotEnforceable(UsageError):
    """An output format that decoding cannot enforce with this model."""


class DataError(InputError):
    """Examples that cannot be read, or cannot be used as asked."""

    area = "data"


class NotRows(DataError):
    """A JSON file without a list of examples: it may be another file that stands with the data."""


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


class NewerRecord(RecordError):
    """A record written by a newer version of tunesmith, as opposed to a damaged one."""


class StoreError(InputError):
    """The store cannot be opened, or was written by a newer version."""

    area = "store"


class InvalidStoreUrl(StoreError):
    """The URL of the store is invalid, which no retry and no fallback can help."""


class RunNotFound(StoreError):
    """No run of the store has this id."""


class StoreUnavailable(StoreError):
    """The store is locked by another program, or its server cannot be reached."""


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
            f"{purpose} requires an optional dependency",
            got="not installed",
            hint=f'pip install "tunesmith[{extra}]"',
        )


class GateFailed(TunesmithError):
    """A check or a gate said no; nothing is broken."""

    area = "gate"
    exit_code = 1


class TrainingError(TunesmithError):
    """Training could not continue; what was saved before remains."""

    area = "training"
    exit_code = 1


class NonFiniteError(TrainingError):
    """The loss or a gradient is NaN or infinite; the step was not applied."""


class DiskFull(TrainingError):
    """Not enough disk space for a checkpoint: it needs `required_bytes` at `path`, where
    `free_bytes` are free. Earlier checkpoints are intact.
    """

    def __init__(self, path: str, required_bytes: int, free_bytes: int, hint: str) -> None:
        self.path, self.required_bytes, self.free_bytes = path, required_bytes, free_bytes
        found = (
            f"{required_bytes / 1000000.0:,.1f} MB needed, {free_bytes / 1000000.0:,.1f} MB free"
        )
        super().__init__(
            "disk-full", "not enough disk space for a checkpoint", at=path, got=found, hint=hint
        )


class ProviderError(TunesmithError):
    """A provider refused, failed or cannot be reached."""

    area = "provider"
    exit_code = 3


class ResponseFormatRefused(ProviderError):
    """The endpoint does not support the requested structured output."""


class Interrupted(TunesmithError):
    """A stop was requested. `exit_code` is 128 plus the signal's number, as in shells.

    It is not an error, and its text does not say so: `Interrupted. Saved in runs/x: ... Next:
    tunesmith resume ...`. `at` is the folder, `got` what was saved, `hint` the next command.
    """

    area = "interrupted"
    exit_code = 130

    def __init__(
        self, what: str, *, at: str = "", got: str = "", hint: str = "", exit_code: int = exit_code
    ) -> None:
        self.exit_code = exit_code
        super().__init__("stopped", what, at=at, got=got, hint=hint)

    def __str__(self) -> str:
        place = f" in {self.at}" if self.at else ""
        saved = f" Saved{place}: {self.got}." if self.got else ""
        return f"{self.what}{saved}" + (f" Next: {self.hint}" if self.hint else "")


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


def truncate_text(text: str, limit: int) -> str:
    """The text, or its first `limit` characters and how many follow."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit:,} more characters)"
