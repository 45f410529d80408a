"""SHA-256 of every file of a run, in `checksums.json`: a bit that the disk turned over is named.

A file changes in three steps: the new hash is added beside the old one, the file is replaced, the old hash is
dropped (at the latest when the next file changes). So wherever the process dies, each file has a hash that is
listed. "" stands for a file that may be missing. The list knows its own hash.

What training appends to or rewrites is taken off the list for that long (`forget`): checkpoints vouch for it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from tunesmith.errors import RunError
from tunesmith.files import read_own_file, sha256_of, what_stands_at, write_atomically
from tunesmith.records import Record, canonical_json

NAME = "checksums.json"
UNLISTED = ("lock", "checkpoints", NAME)
"""What has no checksum: the lock, what vouches for itself."""


class Checksums(Record):
    """Path below the run's folder -> the SHA-256 that its content may have."""

    files: dict[str, tuple[str, ...]]

    def signed(self) -> str:
        """The text of the file."""
        document = {**self.model_dump(mode="json"), "sha256": self.fingerprint}
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


def read_checksums(folder: Path) -> Checksums | None:
    """The list of a run; None when it has none, as those of older versions. Errors: `RunError` when damaged."""
    path = folder / NAME
    try:
        raw = read_own_file(path)
        document = json.loads(raw)
        document.pop("sha256")
        found = Checksums.model_validate_json(canonical_json(document))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError):
        raise _damaged(path) from None
    if raw != found.signed().encode():
        raise _damaged(path)
    return found


def expect(folder: Path, coming: Mapping[str, str]) -> None:
    """Say which content files are about to get: name -> SHA-256. Errors: `OSError`, `RunError`."""
    files = _settled(folder)
    for name, sha256 in coming.items():
        files[name] = tuple(dict.fromkeys((*files.get(name, ("",)), sha256)))
    _write(folder, files)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Take files, and what lies in folders of these names, off the list. Errors: as `expect`."""
    gone = tuple(names)
    files = _settled(folder)
    kept = {name: hashes for name, hashes in files.items() if not _is_below(name, gone)}
    if kept != files:
        _write(folder, kept)


def remember(folder: Path, names: Iterable[str]) -> None:
    """Put files, and what lies in folders of these names, on the list as they are now. Errors: as `expect`."""
    there = tuple(names)
    found = {name: (sha256_of(folder / name),) for name in _files_of(folder) if _is_below(name, there)}
    _write(folder, {**_settled(folder), **found})


def remember_all(folder: Path) -> None:
    """Begin a list with all that is there. Errors: `OSError`."""
    _write(folder, {name: (sha256_of(folder / name),) for name in _files_of(folder)})


def damage_of(folder: Path, names: Iterable[str] = ()) -> tuple[str, ...]:
    """What is not as it was written, as `answers/tuned.jsonl (not what was written)`, of files or folders of these
    names, else of all; nothing when all is well or when there is no list."""
    asked = tuple(names)
    try:
        checksums = read_checksums(folder)
    except RunError as error:
        return (f"{NAME} ({error.found})",)
    found = []
    for name, hashes in sorted(checksums.files.items() if checksums else ()):
        if asked and not _is_below(name, asked):
            continue
        stands = what_stands_at(folder / name)
        if stands == "file":
            if sha256_of(folder / name) not in hashes:
                found.append(f"{name} (not what was written)")
        elif "" not in hashes:
            found.append(f"{name} ({'missing' if stands == 'nothing' else stands})")
    return tuple(found)


def _settled(folder: Path) -> dict[str, tuple[str, ...]]:
    """The list with one hash for each file, whatever became of the last change."""
    checksums = read_checksums(folder)
    if checksums is None:  # of an older version: what is there now counts
        return {name: (sha256_of(folder / name),) for name in _files_of(folder)}
    files = {}
    for name, hashes in checksums.files.items():
        if len(hashes) > 1:
            actual = sha256_of(folder / name) if what_stands_at(folder / name) == "file" else ""
            hashes = (actual,) if actual in hashes else hashes
        if hashes != ("",):
            files[name] = hashes
    return files


def _write(folder: Path, files: Mapping[str, tuple[str, ...]]) -> None:
    write_atomically(folder / NAME, Checksums(files=dict(files)).signed())


def _files_of(folder: Path) -> list[str]:
    paths = [Path(place, name) for place, _, names in os.walk(folder) for name in names]  # links are not entered
    names = (path.relative_to(folder).as_posix() for path in paths if what_stands_at(path) == "file")
    return sorted(name for name in names if not _is_below(name, UNLISTED) and "/.tmp-" not in f"/{name}")


def _is_below(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _damaged(path: Path) -> RunError:
    return RunError(
        "damaged", "The checksums of this run cannot be read.", where=str(path), found="not what was written",
        do="restore the file from a copy, or remove it: then nothing of this run is verified by it",
    )  # fmt: skip
