"""Checkpoint files: each checkpoint is complete or absent, and is verified before it is used.

    checkpoints/step-00000012/    <group>.safetensors ...    checkpoint.json

`checkpoint.json` holds the state, and of every other file its size, its SHA-256 and the dtype and
shape of its tensors; it contains its own fingerprint. Loading cannot run code: only safetensors and
JSON are read.

A checkpoint is written to a temporary folder next to its final path (`temporary_files.py`): each
file is synced, `checkpoint.json` last, then the folder; a rename makes all of it visible at once;
then the parent folder is synced. Only after that are older checkpoints removed, each renamed to a
hidden name first, so that a process that dies at any point leaves only complete visible
checkpoints. Leftovers of dead processes are removed at the start. A path that has a checkpoint's
name but is not a folder is never followed. Tested by killing the process at every kind of write and
between all of these steps: `benchmarks/kill_sweep.py`.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256, get_path_kind, is_real_folder, sync_folder
from tunesmith.errors import DiskFull, RunError, TrainingError, truncate_list
from tunesmith.records import Record, dump_canonical_json
from tunesmith.temporary_files import (
    make_temporary_path,
    remove_stale_temporaries,
    remove_temporary,
)

MAX_CHECKPOINTS = 2
MANIFEST_FILE = "checkpoint.json"
DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_FOLDER_PATTERN = re.compile(r"step-([0-9]{8,})")
_FILE_PATTERN = re.compile(r"[a-z]+\.safetensors")

TensorGroups = Mapping[str, Mapping[str, Tensor]]
"""File name without its suffix -> tensor name -> tensor."""


class LoadedCheckpoint(NamedTuple):
    """One verified checkpoint. `skipped_damaged`: what is damaged in each newer one."""

    step: int
    state: dict[str, Any]
    groups: dict[str, dict[str, Tensor]]
    skipped_damaged: tuple[str, ...]


# Stored per file, so that damage is detected before a tensor reaches the model.


class _FileEntry(Record):
    bytes: int
    sha256: str
    tensors: dict[str, tuple[str, tuple[int, ...]]]


class _Manifest(Record):
    files: dict[str, _FileEntry]
    state: dict[str, Any]

    def to_signed_json(self) -> bytes:
        return dump_canonical_json(
            {**self.model_dump(mode="json"), "sha256": self.fingerprint}
        ).encode()


class DamagedCheckpoint(Exception):
    """A file of a checkpoint is damaged; the message says which one and how."""


class Checkpoints:
    """The checkpoints of one run, of which the newest `MAX_CHECKPOINTS` are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: Mapping[str, Any], groups: TensorGroups) -> Path:
        """Write a checkpoint, then remove the older ones; returns its folder.

        Errors: `DiskFull`, `TrainingError` when it cannot be written; earlier ones are kept and
        nothing partial is left.
        """
        target = self.folder / f"step-{step:08d}"
        temporary = make_temporary_path(target)
        try:
            if not is_real_folder(self.folder):
                # The folder's own entry must be durable too, or a power failure loses all that is
                # in it.
                self.folder.mkdir(parents=True)
                sync_folder(self.folder.parent)
            temporary.mkdir()
            _write_files(temporary, state, groups)
            for later in [path for number, path in self._list_checkpoints() if number >= step]:
                # They must be damaged, otherwise this training would have resumed from them.
                _remove_checkpoint(later)
            failpoints.hit("checkpoint.rename")
            temporary.rename(target)
            failpoints.hit("checkpoint.renamed")
            sync_folder(self.folder)
            failpoints.hit("checkpoint.synced")
            for _, old in self._list_checkpoints()[MAX_CHECKPOINTS:]:
                _remove_checkpoint(old)
        except OSError as error:
            remove_temporary(temporary)
            raise self._build_write_error(error, groups) from error
        # Ctrl-C and injected failures too must not leave a temporary folder.
        except BaseException:
            remove_temporary(temporary)
            raise
        return target

    def load_latest(self) -> LoadedCheckpoint | None:
        """The newest undamaged checkpoint; None when there is none at all.

        Errors: `RunError` when checkpoints exist and every one is damaged.
        """
        passed_over = [
            f"{path.name} is {get_path_kind(path)}, not a folder"
            for path in self._list_non_folders()
        ]
        for step, path in self._list_checkpoints():
            try:
                state, groups = read_checkpoint(path)
            except DamagedCheckpoint as damage:
                passed_over.append(str(damage))
                continue
            return LoadedCheckpoint(step, state, groups, tuple(passed_over))
        if passed_over:
            raise RunError(
                "no-good-checkpoint",
                "every checkpoint of this run is damaged",
                at=str(self.folder),
                got="; ".join(passed_over),
                hint="restore one from a backup; or remove the folder to start over",
            )
        return None

    def remove_temporaries(self) -> None:
        """Remove partial checkpoints of processes that are no longer alive."""
        remove_stale_temporaries(self.folder)

    def clear(self) -> None:
        """Remove all checkpoints after the training has finished. Files of other origin stay."""
        for _, path in self._list_checkpoints():
            _remove_checkpoint(path)
        self.remove_temporaries()
        if is_real_folder(self.folder) and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def check_disk_space(self, bytes_of_one: int) -> None:
        """Check before the first step that `MAX_CHECKPOINTS` + 1 checkpoints fit on the disk.

        Errors: `DiskFull`.
        """
        # The folder may not exist yet: its nearest existing ancestor is on the same disk.
        place = next(path for path in (self.folder, *self.folder.parents) if path.is_dir())
        need = bytes_of_one * max(1, MAX_CHECKPOINTS + 1 - len(self._list_checkpoints()))
        free = shutil.disk_usage(place).free
        if need > free:
            raise DiskFull(
                str(self.folder),
                need,
                free,
                "free up disk space; or choose another disk with --out",
            )

    def _list_checkpoints(self) -> list[tuple[int, Path]]:
        """(step, path) of the visible checkpoints, newest first."""
        return [(step, path) for step, path in self._list_named_paths() if is_real_folder(path)]

    def _list_non_folders(self) -> list[Path]:
        """Paths with a checkpoint's name that are not folders: never followed, read or removed."""
        return [path for _, path in self._list_named_paths() if not is_real_folder(path)]

    def _list_named_paths(self) -> list[tuple[int, Path]]:
        paths = self.folder.iterdir() if is_real_folder(self.folder) else ()
        return sorted(
            (
                (int(name[1]), path)
                for path in paths
                if (name := _FOLDER_PATTERN.fullmatch(path.name))
            ),
            reverse=True,
        )

    def _build_write_error(self, error: OSError, groups: TensorGroups) -> TrainingError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            need, free = estimate_bytes(groups), shutil.disk_usage(self.folder.parent).free
            return DiskFull(
                str(self.folder),
                need,
                free,
                "free up disk space, then resume from the previous checkpoint",
            )
        return TrainingError(
            "checkpoint-unwritable",
            "cannot write the checkpoint; earlier checkpoints are intact",
            at=str(error.filename or self.folder),
            got=error.strerror or str(error),
            hint="fix the cause, then resume",
        )


def estimate_bytes(groups: TensorGroups) -> int:
    """Approximate size of a checkpoint of these tensors, in bytes."""
    return (
        sum(tensor.nbytes + 200 for group in groups.values() for tensor in group.values()) + 10_000
    )


def _write_files(folder: Path, state: Mapping[str, Any], groups: TensorGroups) -> None:
    files = {}
    for group, tensors in groups.items():
        path = folder / f"{group}.safetensors"
        with _open_new(path) as file:
            sha256 = _write_tensors(file, tensors)
            _sync(file)
        files[path.name] = _FileEntry(
            bytes=path.stat().st_size, sha256=sha256, tensors=_describe_tensors(tensors)
        )
        failpoints.hit("checkpoint.file", path)
    with _open_new(folder / MANIFEST_FILE) as file:
        failpoints.write_bytes(
            "checkpoint.write", file, _Manifest(files=files, state=dict(state)).to_signed_json()
        )
        _sync(file)
    failpoints.hit("checkpoint.file", folder / MANIFEST_FILE)
    sync_folder(folder)


def _open_new(path: Path) -> BinaryIO:
    # O_EXCL and O_NOFOLLOW: never write through a link or into a file that another process has
    # placed there.
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666),
        "wb",
        buffering=0,
    )


def _sync(file: BinaryIO) -> None:
    failpoints.hit("checkpoint.fsync")
    os.fsync(file.fileno())


def _write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file tensor by tensor, without a full copy in memory; return its
    SHA-256.
    """
    # Widest dtype first: every tensor then starts at a multiple of its element size, as readers
    # expect.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {}, 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": DTYPE_NAMES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    # The format: header length as 8 bytes little-endian, the JSON header padded to 8 bytes, then
    # the data.
    text += b" " * (-len(text) % 8)
    sha256 = hashlib.sha256()
    for piece in (
        len(text).to_bytes(8, "little"),
        text,
        *(_view_bytes(tensors[name]) for name in order),
    ):
        sha256.update(piece)
        failpoints.write_bytes("checkpoint.write", file, piece)
    return sha256.hexdigest()


def _view_bytes(tensor: Tensor) -> bytes | memoryview:
    array: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)


def _describe_tensors(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name: (DTYPE_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()
    }


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """(state, groups) of a checkpoint, verified byte by byte. Errors: `DamagedCheckpoint`."""
    manifest = _read_manifest(folder / MANIFEST_FILE)
    if extra := sorted(
        {path.name for path in folder.iterdir()} - manifest.files.keys() - {MANIFEST_FILE}
    ):
        raise DamagedCheckpoint(f"{folder.name}/{truncate_list(extra)} does not belong to it")
    groups = {
        Path(name).stem: _read_tensors(folder / name, file) for name, file in manifest.files.items()
    }
    return manifest.state, groups


def _read_manifest(path: Path) -> _Manifest:
    where = f"{path.parent.name}/{path.name}"
    try:
        if (found := get_path_kind(path)) not in ("file", "nothing"):
            raise DamagedCheckpoint(f"{where} is {found}")
        raw = path.read_bytes()
        content = json.loads(raw)
        content.pop("sha256")
        manifest = _Manifest.model_validate_json(json.dumps(content))
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{where} is missing") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise DamagedCheckpoint(f"{where} was modified") from None
    # Serialized again and compared as bytes: detects any change that JSON parsing would forgive.
    # The name pattern keeps a manipulated manifest from naming files outside of the folder.
    if raw != manifest.to_signed_json() or any(
        not _FILE_PATTERN.fullmatch(name) for name in manifest.files
    ):
        raise DamagedCheckpoint(f"{where} was modified")
    return manifest


def _read_tensors(path: Path, expected: _FileEntry) -> dict[str, Tensor]:
    where = f"{path.parent.name}/{path.name}"
    if (found := get_path_kind(path)) != "file":
        raise DamagedCheckpoint(f"{where} is {'missing' if found == 'nothing' else found}")
    if (size := path.stat().st_size) != expected.bytes:
        raise DamagedCheckpoint(f"{where} has {size:,} bytes instead of {expected.bytes:,}")
    try:
        if compute_sha256(path) != expected.sha256:
            raise DamagedCheckpoint(f"{where} was modified (its SHA-256 differs)")
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpoint(f"{where} cannot be read ({error})") from None
    if (
        not all(tensor.dtype in DTYPE_NAMES for tensor in tensors.values())
        or _describe_tensors(tensors) != expected.tensors
    ):
        raise DamagedCheckpoint(f"{where} contains other tensors than were written")
    return tensors


def _remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, hidden by a rename first: visible ones are complete at any time."""
    hidden = make_temporary_path(folder.with_name(f"dropped-{folder.name}"))
    failpoints.hit("checkpoint.drop")
    folder.rename(hidden)
    for path in sorted(hidden.iterdir()):
        failpoints.hit("checkpoint.unlink")
        if not is_real_folder(path):
            path.unlink()
    failpoints.hit("checkpoint.rmdir")
    shutil.rmtree(hidden)
