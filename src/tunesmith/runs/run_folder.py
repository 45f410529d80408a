"""The folder of one run. It is readable without tunesmith: JSON, JSON lines, YAML, text.

    run.json  checksums.json  recipe.yaml  versions.txt  check.json  split.json  prepared.json
    mask.txt  test.json  metrics.jsonl  samples.jsonl  choices.jsonl  adapter/ or model/
    answers/<contender>.json and .jsonl
    prompts/<contender>.json  index/
    leaks.json  power.json  ability.json  forgetting.json  judge.json  evaluation.json
    budget.json  decision.json  cost.json  analysis.json  to_label.csv
    report.html  report.md  report.json
    checkpoints/  lesson/          until the training is finished: what `tunesmith resume` needs
    unscored/                      answers until they are scored, for the same purpose

Names are ids, never paths: user input is reduced to lower-case letters, digits and dashes before it
becomes a file name, and any other id is refused. A new folder has a temporary name until its
initial files are complete: it is whole or absent. What is read is verified by `checksums.json`. The
lock is the kernel's (flock), held by an open file: it ends with the process however that ends, so
there are no stale locks.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from tunesmith.atomic_io import get_path_kind, read_own_file, sync_folder, write_atomically
from tunesmith.errors import NewerRecord, RecordError, RunError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.recipe.recipe_yaml import dump_recipe, parse_yaml
from tunesmith.records import (
    Analysis,
    Answer,
    BudgetPlan,
    CheckReport,
    ContaminationReport,
    ContenderRecord,
    CostReport,
    Decision,
    Evaluation,
    Forgetting,
    GeneralAbility,
    JudgeQualification,
    MetricLine,
    PowerStatement,
    PreparedSplit,
    Recipe,
    Record,
    ResolvedRecipe,
    Run,
    SelectionRecord,
    Split,
    TestSet,
    compute_fingerprint,
)
from tunesmith.runs import checksums
from tunesmith.runs.jsonl_log import (
    FileStamp,
    JsonlRecords,
    append_line,
    compute_stamp,
    parse_lines,
    read_synced,
    to_lines,
    truncate_to,
)
from tunesmith.temporary_files import (
    make_temporary_path,
    remove_stale_temporaries,
    remove_temporary,
)

RECORD_FILES: Mapping[type[Record], str] = {
    Run: "run.json",
    CheckReport: "check.json",
    Split: "split.json",
    ContaminationReport: "leaks.json",
    TestSet: "test.json",
    PowerStatement: "power.json",
    GeneralAbility: "ability.json",  # general ability before tuning
    Forgetting: "forgetting.json",
    Analysis: "analysis.json",
    JudgeQualification: "judge.json",
    CostReport: "cost.json",
    BudgetPlan: "budget.json",
    Evaluation: "evaluation.json",
    Decision: "decision.json",
}
"""The records that a run folder has one of, and their files."""

FOLDER_NAMES = (
    "adapter",
    "model",
    "answers",
    "unscored",
    "prompts",
    "index",
    "checkpoints",
    "lesson",
)
REPORT_FILES = ("report.html", "report.md", "report.json")
LABELING_FILE = "to_label.csv"
APPENDED_FILES = ("metrics.jsonl", "samples.jsonl")
FILE_NAMES = (
    *RECORD_FILES.values(),
    *APPENDED_FILES,
    "recipe.yaml",
    "versions.txt",
    "prepared.json",
    "mask.txt",
    "choices.jsonl",
    "lock",
    checksums.CHECKSUMS_FILE,
    *REPORT_FILES,
    LABELING_FILE,
)
"""All files at the top level of the folder."""

R = TypeVar("R", bound=Record)
_RUN_ID_PATTERN = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,40}-[0-9a-f]{6}")
_CONTENDER_PATTERN = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9+_.-]{0,62}[A-Za-z0-9])?")
_PREPARED_ADAPTER = TypeAdapter(dict[str, PreparedSplit])


class ValidationSample(Record):
    """The model's answer to one validation example during training."""

    step: int
    example: str
    question: str
    expected: str
    answer: str
    score: float | None = None


class RunFolder:
    """One run's folder. Create it with `create`, find it with `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.id = self.path.name
        # final path of a folder that still has a temporary name
        self._final_path: Path | None = None

    def __fspath__(self) -> str:
        """Its path, for `open` and `Path`."""
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, parent: Path, name: str) -> "RunFolder":
        """A new folder `YYYYMMDD-HHMMSS-name-xxxxxx` (UTC, sortable) inside `parent`, visible
        immediately.

        Errors: `RunError` if it cannot be created.
        """
        folder = cls.create_hidden(parent, name)
        folder.publish()
        return folder

    @classmethod
    def create_hidden(cls, parent: Path, name: str) -> "RunFolder":
        """A new folder with a temporary name until `publish`: a run is whole or absent. Temporary
        folders of killed processes are removed.

        Errors: `RunError` if it cannot be created.
        """
        word = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "run"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            while True:
                path = parent / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{word}-{secrets.token_hex(3)}"
                if get_path_kind(path) == "nothing":
                    break
            (hidden := make_temporary_path(path)).mkdir()
        except OSError as error:
            raise cls._build_create_error(parent, error) from None
        folder = cls(hidden)
        folder.id, folder._final_path = path.name, path.resolve()
        return folder

    def publish(self) -> None:
        """Give a hidden folder its final name, with checksums of all files in it. Errors:
        `RunError`.
        """
        assert self._final_path is not None, "it already has this name"
        try:
            if any(self.path.iterdir()):
                checksums.register_all(self.path)
            # fsync the content before the rename and the parent after it: after a power cut the
            # folder is whole or absent.
            sync_folder(self.path)
            self.path.rename(self._final_path)
            sync_folder(self._final_path.parent)
        except OSError as error:
            raise self._build_create_error(self._final_path.parent, error) from None
        self.path, self._final_path = self._final_path, None

    @property
    def is_hidden(self) -> bool:
        """Whether it is not published yet."""
        return self._final_path is not None

    def discard(self) -> None:
        """Remove a folder that will not be published."""
        if self._final_path is not None:
            remove_temporary(self.path)

    @staticmethod
    def _build_create_error(parent: Path, error: OSError) -> RunError:
        return RunError(
            "cannot-create",
            "cannot create the run folder",
            at=str(parent),
            got=error.strerror or str(error),
            hint="choose a writable folder with --out",
        )

    @classmethod
    def list_all(cls, parent: Path, beginning: str = "") -> list["RunFolder"]:
        """The folders in `parent` with a run's id that begins with `beginning` and a run.json;
        empty if there is no `parent`.
        """
        try:
            names = sorted(
                name
                for name in os.listdir(parent)
                if name.startswith(beginning) and _RUN_ID_PATTERN.fullmatch(name)
            )
        except OSError:
            return []
        return [
            cls(parent / name)
            for name in names
            if get_path_kind(parent / name / RECORD_FILES[Run]) == "file"
        ]

    @classmethod
    def open(cls, run: str | Path, parent: Path = Path("runs")) -> "RunFolder":
        """The folder of an earlier run: a path, or the id of a run inside `parent`.

        Errors: `RunError` if there is none, or if an entry is neither a regular file nor a real
        folder.
        """
        path = (
            parent / run if isinstance(run, str) and _RUN_ID_PATTERN.fullmatch(run) else Path(run)
        )
        try:
            if path.is_dir():
                folder = cls(path)
                folder._check_special_files()
                return folder
            found = "a file" if path.exists() else "nothing"
        # for example a name of 5,000 letters, or a NUL in it
        except (OSError, ValueError) as error:
            found = str(error)[:200]
        raise RunError(
            "missing",
            "run not found",
            at=str(path)[:200],
            got=found,
            hint="see `tunesmith runs`",
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for the duration of the block.

        Errors: `RunError` (`run/in-use`) immediately, naming the process that holds the lock.
        """
        descriptor = self._open_lock()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
                raise RunError(
                    "in-use",
                    "run is in use by another process",
                    at=str(self.path),
                    got=owner or "a process that has just started",
                    hint="wait until it has finished; or stop it",
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def remove_temporaries(self) -> None:
        """Remove partly written files of killed processes. The caller must hold the lock: then no
        other process is writing.
        """
        for place in (self.path, *(self.path / name for name in FOLDER_NAMES)):
            remove_stale_temporaries(place, remove_all=True)

    def _check_special_files(self) -> None:
        """A link, pipe or device could redirect what is read, written or removed. Errors:
        `RunError`.
        """
        for name in (*FILE_NAMES, *FOLDER_NAMES):
            self._check_not_special(self.path / name)
        for name in FOLDER_NAMES:
            for place, folders, files in os.walk(self.path / name):
                for one in (*folders, *files):
                    self._check_not_special(Path(place, one))

    def _check_not_special(self, path: Path) -> None:
        found = get_path_kind(path)
        if found in ("nothing", "file", "folder"):
            return
        raise RunError(
            "special-file",
            "run folder contains a link or a special file",
            at=str(path),
            got=found,
            hint="remove it; or replace it with the file itself",
        )

    def is_in_use(self) -> bool:
        """Whether a process is working on this run. A run with status "running" that is not in use
        was killed.
        """
        try:
            descriptor = os.open(
                self.path / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError:  # never locked
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
            # O_NOFOLLOW and O_NONBLOCK: a planted link or pipe named "lock" neither redirects nor
            # blocks.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(self.path / "lock", flags, 0o666)
        except OSError as error:
            raise build_unwritable_error(self.path, error) from None

    def write_file(self, name: str, content: str | bytes) -> None:
        """Write a file, named by its path below the folder, atomically. Errors: `RunError`."""
        self._write_files({name: content})

    def _write_files(self, files: Mapping[str, str | bytes]) -> None:
        """Replace each file atomically; its checksum is listed first. Errors: `RunError`."""
        raw = {
            name: text.encode() if isinstance(text, str) else text for name, text in files.items()
        }
        path = self.path
        try:
            if self._final_path is None:  # a hidden folder lists all of them when it is published
                path = self.path / checksums.CHECKSUMS_FILE
                checksums.register_expected(
                    self.path, {name: sha256(content).hexdigest() for name, content in raw.items()}
                )
            for name, content in raw.items():
                path = self.path / name
                write_atomically(path, content)
        except OSError as error:
            raise build_unwritable_error(path, error) from None

    def _read_file(self, name: str) -> bytes:
        """The verified content of a file. Errors: `OSError`, `RunError` if it differs from what was
        written.
        """
        content = read_own_file(self.path / name)
        listed = checksums.read_checksums(self.path)
        if (
            listed
            and name in listed.files
            and sha256(content).hexdigest() not in listed.files[name]
        ):
            raise _build_damage_error(self.path / name, "modified (its SHA-256 differs)")
        return content

    def find_damage(self, *names: str) -> tuple[str, ...]:
        """Every file (of these, or below folders of these names) that differs from what was
        written, with how; empty if none does, or if a run of an older version has no checksums.
        """
        return checksums.find_damage(self.path, names)

    def check_integrity(self, *names: str) -> None:
        """Verify files (these, or all except those that users fill in).

        Errors: `RunError` that names every file that differs from what was written.
        """
        if found := [one for one in self.find_damage(*names) if not one.startswith(LABELING_FILE)]:
            raise RunError(
                "damaged",
                "files of this run were modified",
                at=str(self.path),
                got=", ".join(found),
                hint="restore them from a backup; or run the command again",
            )

    def finalize_checksums(self) -> None:
        """List a single checksum per file, after the last one was written. Errors: `RunError`."""
        try:
            checksums.register_files(self.path, ())
        except OSError as error:
            raise build_unwritable_error(self.path / checksums.CHECKSUMS_FILE, error) from None

    def has_checksums(self) -> bool:
        """Whether damage can be found: runs of older versions have no list."""
        return get_path_kind(self.path / checksums.CHECKSUMS_FILE) == "file"

    @contextmanager
    def allow_rewriting(self, *names: str) -> Iterator[None]:
        """Within the block these files, and files in folders of these names, are written by other
        code; afterwards they are listed as they are then. Errors: `RunError`.
        """
        path = self.path / checksums.CHECKSUMS_FILE
        try:
            checksums.unregister_files(self.path, names)
        except OSError as error:
            raise build_unwritable_error(path, error) from None
        try:
            yield
        finally:
            try:
                checksums.register_files(self.path, names)
            except OSError as error:
                raise build_unwritable_error(path, error) from None

    def _append(self, name: str, record: Record, *, sync: bool = False) -> None:
        try:
            append_line(self.path / name, record, sync=sync)
        except OSError as error:
            raise build_unwritable_error(self.path / name, error) from None

    def write(self, record: Record) -> None:
        """Store a record in its file (`run.json`, `split.json`, ...)."""
        self.write_file(RECORD_FILES[type(record)], record.model_dump_json(indent=2) + "\n")

    def read(self, kind: type[R]) -> R:
        """The record of that kind.

        Errors: `RunError` if the run has none (yet), or its file is damaged.
        """
        return self.read_record(kind, RECORD_FILES[kind])

    def read_record(self, kind: type[R], name: str) -> R:
        """The verified record in this file. Errors: `RunError` if it is missing, damaged, or of a
        newer version.
        """
        path = self.path / name
        try:
            return kind.parse(self._read_file(name), str(path))
        except NewerRecord as error:
            raise RunError(
                "newer", error.what, at=error.at, got=error.got, hint=error.hint
            ) from None
        except RecordError as error:
            raise _build_damage_error(path, error.got) from None
        except OSError as error:
            raise _build_damage_error(path, error.strerror or str(error)) from None

    def has(self, kind: type[Record]) -> bool:
        """Whether the run has this record yet."""
        return get_path_kind(self.path / RECORD_FILES[kind]) != "nothing"

    def write_recipe(self, recipe: Recipe) -> None:
        """Store the recipe as used, with every default filled in."""
        self.write_file("recipe.yaml", dump_recipe(recipe))

    def read_recipe(self) -> Recipe:
        """The recipe in the folder; a resuming caller compares it. Errors: `RecipeError`."""
        return load_recipe(self.path / "recipe.yaml", is_stored=True)

    def read_resolved_recipe(self) -> ResolvedRecipe:
        """The recipe of a run that trains. Errors: `RecipeError`; `RecordError` if a number in it
        is open, which only an edit of the file can cause.
        """
        return ResolvedRecipe.from_complete(self.read_recipe(), str(self.path / "recipe.yaml"))

    def fingerprint_recipe_file(self) -> str:
        """The fingerprint of the recipe as its file has it, by whatever names an earlier version
        wrote. Unverified: the caller compares it. Errors: `OSError`, `RecipeError`.
        """
        path = self.path / "recipe.yaml"
        return compute_fingerprint(parse_yaml(read_own_file(path).decode(), str(path)))

    def write_versions(self, versions: Mapping[str, str]) -> None:
        """Store the versions as `name==version` lines, which pip accepts as constraints; Python's
        own is a comment.
        """
        lines = (
            f"{'# ' if name == 'python' else ''}{name}=={version}\n"
            for name, version in versions.items()
        )
        self.write_file("versions.txt", "".join(lines))

    def write_prepared(self, prepared: Mapping[str, PreparedSplit]) -> None:
        """Store the description of each prepared split, by the split's name."""
        self.write_file(
            "prepared.json", _PREPARED_ADAPTER.dump_json(dict(prepared), indent=2) + b"\n"
        )

    def read_prepared(self) -> dict[str, PreparedSplit]:
        """The description of each prepared split. Errors: `RunError`."""
        path = self.path / "prepared.json"
        try:
            return _PREPARED_ADAPTER.validate_json(self._read_file(path.name))
        except OSError as error:
            raise _build_damage_error(path, error.strerror or str(error)) from None
        except ValidationError as error:
            raise _build_damage_error(path, error.errors()[0]["msg"]) from None

    def write_mask(self, text: str) -> None:
        """Store the rendered proof of the loss mask."""
        self.write_file("mask.txt", text)

    def append_metric(self, line: MetricLine) -> None:
        """Append a metric line; a validation line is on disk when this returns."""
        self._append("metrics.jsonl", line, sync=line.kind == "validation")

    def read_metrics(self) -> JsonlRecords[MetricLine]:
        """All metric lines so far."""
        return self._read_lines("metrics.jsonl", MetricLine)

    def append_sample(self, sample: ValidationSample) -> None:
        """Append one answer generated during training."""
        self._append("samples.jsonl", sample)

    def read_samples(self) -> JsonlRecords[ValidationSample]:
        """All answers generated during training."""
        return self._read_lines("samples.jsonl", ValidationSample)

    def append_selection(self, choice: SelectionRecord) -> None:
        """Append a choice; it is on disk when this returns."""
        self.write_file("choices.jsonl", to_lines((*self.read_selections().records, choice)))

    def read_selections(self) -> JsonlRecords[SelectionRecord]:
        """All choices so far; of several for the same thing the last one counts."""
        return self._read_lines("choices.jsonl", SelectionRecord)

    def record_journal(self) -> dict[str, FileStamp]:
        """Stamps of the files to which training appends, after flushing them to disk. Stored with a
        checkpoint.
        """
        sync_folder(self.path)  # the files may be new: their folder entries must be on disk too
        return {name: compute_stamp(read_synced(self.path / name)) for name in APPENDED_FILES}

    def rewind(self, journal: Mapping[str, FileStamp | int]) -> None:
        """Remove the lines after a checkpoint: they will be written again, so none is lost and none
        is duplicated.

        Errors: `RunError` if lines before it are missing or changed.
        """
        for name in APPENDED_FILES:
            truncate_to(self.path / name, journal.get(name, 0))

    def write_answers(self, asking: ContenderRecord, answers: Iterable[Answer]) -> None:
        """Store a contender and its answers to the test examples; its unscored answers are
        removed.
        """
        self._put_answers("answers", asking, answers)
        place, name = self.path / "unscored", asking.spec.name
        if not (place / f"{name}.jsonl").is_file():
            return
        with self.allow_rewriting("unscored") if self._final_path is None else nullcontext():
            for path in (place / f"{name}.jsonl", place / f"{name}.json"):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: other contenders' answers are waiting to be scored
            place.rmdir()

    def write_unscored(self, asking: ContenderRecord, answers: Iterable[Answer]) -> None:
        """Store answers before they are scored, which may take long: a run that is stopped
        meanwhile does not generate them again.
        """
        self._put_answers("unscored", asking, answers)

    def _put_answers(self, where: str, asking: ContenderRecord, answers: Iterable[Answer]) -> None:
        file = _get_answers_path(asking.spec.name, where)
        self._write_files(
            {
                file.removesuffix("l"): asking.model_dump_json(indent=2) + "\n",
                file: to_lines(answers, without_none=True),
            }
        )

    def read_contender(self, contender: str) -> ContenderRecord:
        """The record of one contender. Errors: `RunError` if it was not run, or the file is
        damaged.
        """
        return self.read_record(ContenderRecord, _get_answers_path(contender).removesuffix("l"))

    def read_answers(self, contender: str) -> JsonlRecords[Answer]:
        """The answers of one contender; empty if it was not run."""
        return self._read_lines(_get_answers_path(contender), Answer)

    def unscored_answers(self, contender: str) -> tuple[ContenderRecord, Sequence[Answer]]:
        """Record and answers of one of `unscored`. Errors: `RunError` if a file is damaged."""
        file = _get_answers_path(contender, "unscored")
        return (
            self.read_record(ContenderRecord, file.removesuffix("l")),
            self._read_lines(file, Answer).records,
        )

    def _read_lines(self, name: str, kind: type[R]) -> JsonlRecords[R]:
        try:
            return parse_lines(self._read_file(name), self.path / name, kind)
        except FileNotFoundError:
            return JsonlRecords((), None)
        except OSError as error:
            raise _build_damage_error(self.path / name, error.strerror or str(error)) from None

    def list_contenders(self) -> tuple[str, ...]:
        """Names of the contenders with stored answers, sorted."""
        return tuple(sorted(path.stem for path in (self.path / "answers").glob("*.jsonl")))

    def unscored(self) -> tuple[str, ...]:
        """Names of the contenders whose answers are stored but not scored yet."""
        known = set(self.list_contenders())
        return tuple(
            sorted({path.stem for path in (self.path / "unscored").glob("*.jsonl")} - known)
        )

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints while training is not finished. Not created here."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """Folder of the adapter (PEFT format). Not created here."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """Folder of the model after full fine-tuning (an ordinary model folder). Not created
        here.
        """
        return self.path / "model"


def _get_answers_path(contender: str, where: str = "answers") -> str:
    if not _CONTENDER_PATTERN.fullmatch(contender):
        raise RunError(
            "bad-name",
            "invalid contender name",
            got=repr(contender[:80]),
            hint="use letters, digits, dots, + and - (at most 64)",
        )
    return f"{where}/{contender}.jsonl"


def build_unwritable_error(path: Path, error: OSError) -> RunError:
    """The error for a file of a run that cannot be written."""
    return RunError(
        "unwritable",
        "cannot write to the run folder; existing files are intact",
        at=str(path),
        got=error.strerror or str(error),
        hint="free up disk space or make the folder writable, then run the command again",
    )


def _build_damage_error(path: Path, got: str) -> RunError:
    return RunError(
        "damaged",
        f"{path.name} is missing or unreadable",
        at=str(path),
        got=got or "no such file",
        hint="restore it from a backup; or run the command again",
    )
