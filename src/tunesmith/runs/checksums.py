"""SHA-256 of every file of a run, in `checksums.json`: a damaged file is reported by name.

A file changes in three steps: the new hash is added to the list next to the old one, the file is
replaced, the old hash is dropped (at the latest when the next file changes). So wherever the
process dies, each file matches a listed hash. "" stands for a file that may be missing. The list
contains its own hash.

Files that training appends to or rewrites are taken off the list meanwhile (`unregister_files`):
checkpoints verify them.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from tunesmith.atomic_io import compute_sha256, get_path_kind, read_own_file, write_atomically
from tunesmith.errors import RunError
from tunesmith.records import Record, dump_canonical_json

CHECKSUMS_FILE = "checksums.json"
EXCLUDED_NAMES = ("lock", "checkpoints", CHECKSUMS_FILE)
"""Not listed: the lock, and what verifies itself."""


class Checksums(Record):
    """Path below the run's folder -> the possible SHA-256 of its content."""

    files: dict[str, tuple[str, ...]]

    def to_signed_json(self) -> str:
        """The content of the file, with its own hash."""
        document = {**self.model_dump(mode="json"), "sha256": self.fingerprint}
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


def read_checksums(folder: Path) -> Checksums | None:
    """The list of a run; None if it has none (runs of older versions). Errors: `RunError` if
    damaged.
    """
    path = folder / CHECKSUMS_FILE
    try:
        raw = read_own_file(path)
        document = json.loads(raw)
        document.pop("sha256")
        found = Checksums.model_validate_json(dump_canonical_json(document))
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        ValidationError,
    ):
        raise _build_damage_error(path) from None
    # Compared byte by byte, which verifies the list's own hash as well.
    if raw != found.to_signed_json().encode():
        raise _build_damage_error(path)
    return found


def register_expected(folder: Path, coming: Mapping[str, str]) -> None:
    """Announce the content that files are about to get: name -> SHA-256. Errors: `OSError`,
    `RunError`.
    """
    files = _resolve_pending(folder)
    for name, sha256 in coming.items():
        files[name] = tuple(dict.fromkeys((*files.get(name, ("",)), sha256)))
    _write_checksums(folder, files)


def unregister_files(folder: Path, names: Iterable[str]) -> None:
    """Take files, and files in folders of these names, off the list. Errors: as
    `register_expected`.
    """
    gone = tuple(names)
    files = _resolve_pending(folder)
    kept = {name: hashes for name, hashes in files.items() if not _is_below(name, gone)}
    if kept != files:
        _write_checksums(folder, kept)


def register_files(folder: Path, names: Iterable[str]) -> None:
    """Put files, and files in folders of these names, on the list as they are now. Errors: as
    `register_expected`.
    """
    there = tuple(names)
    found = {
        name: (compute_sha256(folder / name),)
        for name in _list_files(folder)
        if _is_below(name, there)
    }
    _write_checksums(folder, {**_resolve_pending(folder), **found})


def register_all(folder: Path) -> None:
    """Begin a list with all present files. Errors: `OSError`."""
    _write_checksums(
        folder, {name: (compute_sha256(folder / name),) for name in _list_files(folder)}
    )


def find_damage(folder: Path, names: Iterable[str] = ()) -> tuple[str, ...]:
    """The files that differ from what was written, for example `answers/tuned.jsonl (not what was
    written)`, among files or folders of these names, or all; empty if none differ or there is no
    list.
    """
    asked = tuple(names)
    try:
        checksums = read_checksums(folder)
    except RunError as error:
        return (f"{CHECKSUMS_FILE} ({error.got})",)
    found = []
    for name, hashes in sorted(checksums.files.items() if checksums else ()):
        if asked and not _is_below(name, asked):
            continue
        stands = get_path_kind(folder / name)
        if stands == "file":
            if compute_sha256(folder / name) not in hashes:
                found.append(f"{name} (modified)")
        elif "" not in hashes:
            found.append(f"{name} ({'missing' if stands == 'nothing' else stands})")
    return tuple(found)


def _resolve_pending(folder: Path) -> dict[str, tuple[str, ...]]:
    """The list with one hash per file, whatever became of the last change."""
    checksums = read_checksums(folder)
    if checksums is None:  # a run of an older version: register the present files
        return {name: (compute_sha256(folder / name),) for name in _list_files(folder)}
    files = {}
    for name, hashes in checksums.files.items():
        if len(hashes) > 1:
            actual = compute_sha256(folder / name) if get_path_kind(folder / name) == "file" else ""
            hashes = (actual,) if actual in hashes else hashes
        if hashes != ("",):
            files[name] = hashes
    return files


def _write_checksums(folder: Path, files: Mapping[str, tuple[str, ...]]) -> None:
    write_atomically(folder / CHECKSUMS_FILE, Checksums(files=dict(files)).to_signed_json())


def _list_files(folder: Path) -> list[str]:
    # os.walk does not follow links to folders
    paths = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    names = (path.relative_to(folder).as_posix() for path in paths if get_path_kind(path) == "file")
    return sorted(
        name for name in names if not _is_below(name, EXCLUDED_NAMES) and "/.tmp-" not in f"/{name}"
    )


def _is_below(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _build_damage_error(path: Path) -> RunError:
    return RunError(
        "damaged",
        "cannot read the checksums of this run",
        at=str(path),
        got="modified",
        hint="restore the file from a backup; or remove it, and the files of this run are "
        "not verified",
    )
