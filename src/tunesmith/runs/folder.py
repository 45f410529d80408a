"""The folder of one run. It can be read without tunesmith: JSON, JSON lines, YAML, text.

    run.json  recipe.yaml  versions.txt  check.json  split.json  prepared.json  mask.txt  test.json
    metrics.jsonl  samples.jsonl  choices.jsonl  adapter/ or model/  answers/<contender>.json and .jsonl
    leaks.json  power.json  ability.json  forgetting.json  evaluation.json  decision.json  cost.json  analysis.json
    report.html  report.md  report.json
    checkpoints/  lesson/          until the training is finished: what `tunesmith resume` goes on with

Names are ids, never paths: what a person typed becomes lower-case letters, digits and dashes before it touches the
disk, and an id that looks like anything else is refused. The lock is the kernel's (flock), held by an open file: it
ends with the process however that ends, so there are no stale locks.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from tunesmith.errors import RecordError, RunError
from tunesmith.files import sync_folder, write_atomically
from tunesmith.recipe.load import load_recipe
from tunesmith.recipe.text import dump_recipe
from tunesmith.records import (
    Analysis,
    Answer,
    Asking,
    CheckReport,
    ChoiceMade,
    CostReport,
    Decision,
    Evaluation,
    Forgetting,
    GeneralAbility,
    Leaks,
    MetricLine,
    PowerStatement,
    Prepared,
    Qualification,
    Recipe,
    Record,
    Run,
    Split,
    TestSet,
)
from tunesmith.runs.lines import Lines, append_line, as_lines, cut_to, read_lines, synced_size

FILES: Mapping[type[Record], str] = {
    Run: "run.json",
    CheckReport: "check.json",
    Split: "split.json",
    Leaks: "leaks.json",
    TestSet: "test.json",
    PowerStatement: "power.json",
    GeneralAbility: "ability.json",  # before tuning
    Forgetting: "forgetting.json",
    Analysis: "analysis.json",
    Qualification: "judge.json",
    CostReport: "cost.json",
    Evaluation: "evaluation.json",
    Decision: "decision.json",
}
"""The records that a run folder keeps one of, and where."""

R = TypeVar("R", bound=Record)
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,40}-[0-9a-f]{6}")
_CONTENDER = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9+_.-]{0,62}[A-Za-z0-9])?")
_PREPARED = TypeAdapter(dict[str, Prepared])


class Sample(Record):
    """What the model answered to one validation example while it was trained."""

    step: int
    example: str
    question: str
    expected: str
    answer: str
    score: float | None = None


class RunFolder:
    """One run's folder. Make with `create`, find again with `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.id = self.path.name

    @classmethod
    def create(cls, parent: Path, name: str) -> "RunFolder":
        """A new folder `YYYYMMDD-HHMMSS-name-xxxxxx` (UTC, sortable) inside `parent`, open to its owner only.

        Errors: `RunError` when it cannot be made.
        """
        word = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "run"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            while True:  # the random end makes a second turn a matter of 1 in 16 million, mkdir makes it safe
                path = parent / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{word}-{secrets.token_hex(3)}"
                try:
                    path.mkdir(mode=0o700)
                except FileExistsError:
                    continue
                return cls(path)
        except OSError as error:
            raise RunError(
                "cannot-create",
                "The folder of the run cannot be made.",
                where=str(parent),
                found=error.strerror or str(error),
                do="choose a folder you may write to with --out",
            ) from None

    @classmethod
    def open(cls, run: str | Path, parent: Path = Path("runs")) -> "RunFolder":
        """The folder of an earlier run: a path, or the id of a run inside `parent`.

        Errors: `RunError` when there is none.
        """
        path = parent / run if isinstance(run, str) and _ID.fullmatch(run) else Path(run)
        try:
            if path.is_dir():
                return cls(path)
            found = "a file" if path.exists() else "nothing there"
        except (OSError, ValueError) as error:  # a name of 5,000 letters, a NUL inside
            found = str(error)[:200]
        raise RunError(
            "missing", "There is no such run.", where=str(path)[:200], found=found, do="see `tunesmith runs`"
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process away from this run inside the block.

        Errors: `RunError` (`run/in-use`) at once, naming the process that has it.
        """
        descriptor = self._open_lock()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
                raise RunError(
                    "in-use",
                    "Another process is working on this run.",
                    where=str(self.path),
                    found=owner or "a process that just began",
                    do="wait until it is done, or stop it",
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove what a killed process left half written. Only for whoever holds the lock: nobody else is writing."""
        for place in (self.path, self.adapter, self.model, self.path / "answers", self.path / "lesson"):
            for path in place.glob(".tmp-*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def is_in_use(self) -> bool:
        """Whether a process works on this run now. One that says "running" and is not in use was killed."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # never locked by anybody
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _open_lock(self) -> int:
        try:
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _put(self, name: str, content: str | bytes) -> None:
        try:
            write_atomically(self.path / name, content)
        except OSError as error:
            raise unwritable(self.path / name, error) from None

    def _append(self, name: str, record: Record, *, sync: bool = False) -> None:
        try:
            append_line(self.path / name, record, sync=sync)
        except OSError as error:
            raise unwritable(self.path / name, error) from None

    def write(self, record: Record) -> None:
        """Keep a record in its file (`run.json`, `split.json`, ...)."""
        self._put(FILES[type(record)], record.model_dump_json(indent=2) + "\n")

    def read(self, kind: type[R]) -> R:
        """The record of that kind.

        Errors: `RunError` when the run has none (yet), or its file is damaged.
        """
        path = self.path / FILES[kind]
        try:
            return kind.read(path)
        except RecordError as error:
            raise _damaged(path, error.found) from None
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from None

    def has(self, kind: type[Record]) -> bool:
        """Whether the run has come far enough to have this record."""
        return (self.path / FILES[kind]).exists()

    def write_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe as it was used, every default filled in."""
        self._put("recipe.yaml", dump_recipe(recipe))

    def read_recipe(self) -> Recipe:
        """The recipe that was used. Errors: `RecipeError`."""
        return load_recipe(self.path / "recipe.yaml")

    def write_versions(self, versions: Mapping[str, str]) -> None:
        """Keep the versions as `name==version` lines, which pip takes as constraints; Python's own is a comment."""
        lines = (f"{'# ' if name == 'python' else ''}{name}=={version}\n" for name, version in versions.items())
        self._put("versions.txt", "".join(lines))

    def write_prepared(self, prepared: Mapping[str, Prepared]) -> None:
        """Keep what is known of each prepared split, by the split's name."""
        self._put("prepared.json", _PREPARED.dump_json(dict(prepared), indent=2) + b"\n")

    def read_prepared(self) -> dict[str, Prepared]:
        """What is known of each prepared split. Errors: `RunError`."""
        path = self.path / "prepared.json"
        try:
            return _PREPARED.validate_json(path.read_bytes())
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from None
        except ValidationError as error:
            raise _damaged(path, error.errors()[0]["msg"]) from None

    def write_mask(self, text: str) -> None:
        """Keep the rendered proof of what is trained."""
        self._put("mask.txt", text)

    def append_metric(self, line: MetricLine) -> None:
        """Add a line to the metrics; a validation line is on the disk when this returns."""
        self._append("metrics.jsonl", line, sync=line.kind == "validation")

    def metrics(self) -> Lines[MetricLine]:
        """Every metric line so far."""
        return read_lines(self.path / "metrics.jsonl", MetricLine)

    def append_sample(self, sample: Sample) -> None:
        """Add one answer given during training."""
        self._append("samples.jsonl", sample)

    def samples(self) -> Lines[Sample]:
        """Every answer given during training."""
        return read_lines(self.path / "samples.jsonl", Sample)

    def append_choice(self, choice: ChoiceMade) -> None:
        """Add a choice; it is on the disk when this returns."""
        self._append("choices.jsonl", choice, sync=True)

    def choices(self) -> Lines[ChoiceMade]:
        """Every choice so far; of several for the same thing the last one counts."""
        return read_lines(self.path / "choices.jsonl", ChoiceMade)

    def journal(self) -> dict[str, int]:
        """How long the files are to which training appends, every line of them on the disk. Kept with a checkpoint."""
        sync_folder(self.path)  # the files themselves may be new
        return {name: synced_size(self.path / name) for name in ("metrics.jsonl", "samples.jsonl")}

    def rewind(self, journal: Mapping[str, int]) -> None:
        """Take away the lines after a checkpoint: they will be written again, so none is lost and none is doubled.

        Errors: `RunError` when lines before it are missing.
        """
        for name in ("metrics.jsonl", "samples.jsonl"):
            cut_to(self.path / name, journal.get(name, 0))

    def write_answers(self, asking: Asking, answers: Iterable[Answer]) -> None:
        """Keep what one contender is and what it answered on the test examples."""
        file = _answers_file(asking.profile.name)
        self._put(file.removesuffix("l"), asking.model_dump_json(indent=2) + "\n")
        self._put(file, as_lines(answers))

    def asking(self, contender: str) -> Asking:
        """What one contender is. Errors: `RunError` when it was not asked, or the file is damaged."""
        path = self.path / _answers_file(contender).removesuffix("l")
        try:
            return Asking.read(path)
        except RecordError as error:
            raise _damaged(path, error.found) from None

    def answers(self, contender: str) -> Lines[Answer]:
        """What one contender answered; nothing when it was not asked."""
        return read_lines(self.path / _answers_file(contender), Answer)

    def contenders(self) -> tuple[str, ...]:
        """The names of the contenders whose answers are kept, sorted."""
        return tuple(sorted(path.stem for path in (self.path / "answers").glob("*.jsonl")))

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie while training is not finished. Not made here."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """Where the adapter lies (PEFT format). Not made here."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """Where the model lies after full fine-tuning (an ordinary model folder). Not made here."""
        return self.path / "model"


def _answers_file(contender: str) -> str:
    if not _CONTENDER.fullmatch(contender):
        raise RunError(
            "bad-name",
            "This is no name for a contender.",
            found=repr(contender[:80]),
            do="use letters, digits, dots, + and - (at most 64)",
        )
    return f"answers/{contender}.jsonl"


def unwritable(path: Path, error: OSError) -> RunError:
    """The error for a file of a run that the machine does not let us write."""
    return RunError(
        "unwritable",
        "The folder of the run cannot be written; what was written before is whole.",
        where=str(path),
        found=error.strerror or str(error),
        do="make room, or make the folder writable, and run the command again",
    )


def _damaged(path: Path, found: str) -> RunError:
    return RunError(
        "damaged",
        f"This run has no {path.name} that can be read.",
        where=str(path),
        found=found or "no such file",
        do="restore it from a copy, or make the run again",
    )
