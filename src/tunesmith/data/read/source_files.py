"""Find the files that a path stands for, their formats, and their declared splits.

A folder may be what Hugging Face `datasets` saves (`data-*.arrow`; one subfolder for each split
when `dataset_dict.json` exists), a repository of such a data set with its README, or any folder of
data files. It is read whole: every file that is not read is reported, and several subsets or
several files of one split name are refused by name (docs/decisions/091).
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.read.dataset_card import Subset, read_subsets
from tunesmith.data.read.file_formats import (
    KNOWN_FORMATS,
    LINE_READERS,
    READERS,
    FileReader,
    choose_reader,
    get_data_suffix,
)
from tunesmith.data.read.json_file import read_json
from tunesmith.data.read.row_errors import ROW_ERROR_KINDS
from tunesmith.data.read.split_names import (
    SplitName,
    find_split_names,
    get_shard_prefix,
    strip_split_words,
)
from tunesmith.errors import DataError, NotRows, truncate_list
from tunesmith.records import CountedIn, Problem
from tunesmith.yaml_io import InvalidYaml

MAX_SHOWN_NAMES = 20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""`https://`, `hf://`, `s3://`: `Path` drops one slash; a drive name has only one letter."""
_DESCRIPTION_PREFIXES = (
    "readme",
    "license",
    "licence",
    "notice",
    "citation",
    "changelog",
    "_success",
    "thumbs",
    "desktop",
)
_METADATA_FILES = (
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "config.json",
)


class Source(NamedTuple):
    """One file to read, with its reader and its declared split (None: none)."""

    path: Path
    read: FileReader
    split_name: SplitName | None

    @property
    def position_unit(self) -> CountedIn:
        """What the line numbers of its rows count."""
        return "lines" if self.read in LINE_READERS else "rows"


class Sources(NamedTuple):
    """The files to read, and the problems to report about the others."""

    files: tuple[Source, ...]
    problems: tuple[Problem, ...] = ()


class _FolderFile(NamedTuple):
    """A data file of a folder.

    `subset` is what is left of its path without the split's name; `name_rest` the same for its file
    name alone.
    """

    path: Path
    relative_path: str
    split_name: SplitName | None
    subset: tuple[str, ...]
    name_rest: str


def find_sources(path: Path) -> Sources:
    """The files that a path stands for. Errors: `DataError` when there is nothing to read."""
    try:
        if path.is_dir():
            return _find_sources_in(path)
        if _ADDRESS.match(str(path)):
            raise DataError(
                "an-address",
                "data must be a local file or folder, not a URL",
                at=str(path),
                hint="download it, then pass the file or folder",
            )
        if not path.exists():
            raise DataError(
                "missing", "no such file or folder", at=str(path), hint="check the path"
            )
        if not path.is_file():  # opening a pipe may block forever, and it can be read only once
            raise DataError(
                "not-a-file",
                "neither a file nor a folder",
                at=str(path),
                got="a pipe or a device",
                hint="save the examples to a file",
            )
        return Sources((Source(path, choose_reader(path), None),))
    except OSError as error:
        raise build_read_error(path, error) from None


def build_read_error(path: Path, error: OSError) -> DataError:
    """The error for a path that cannot be read: missing permission or another reason."""
    if not isinstance(error, PermissionError):
        found = error.strerror or str(error)
        return DataError(
            "unreadable",
            "cannot read the data",
            at=str(path)[:300],
            got=found,
            hint="check the path",
        )
    return DataError(
        "no-permission",
        "no read permission",
        at=str(error.filename or path),
        got="permission denied",
        hint="change the permissions (chmod u+r)",
    )


def _find_sources_in(folder: Path) -> Sources:
    paths = _list_files(folder)
    problems: list[Problem] = []
    subset = _choose_subset(folder, paths, problems)
    files: list[_FolderFile] = []
    passed_over: list[str] = []
    companions: list[str] = []
    for path in paths:
        below = path.relative_to(folder).as_posix()
        if _is_companion(path, below):
            companions.append(below)
        elif (
            not _is_data(path)
            or (subset and not subset.find_split(below)[1])
            or _is_other_json(path, below)
        ):
            passed_over.append(below)
        else:
            files.append(_classify_file(path, below, subset))
    if not files:
        raise DataError(
            "no-data-files",
            "folder contains no supported data files",
            at=str(folder),
            got=truncate_list(sorted({*passed_over, *companions})) or "an empty folder",
            hint=f"give {KNOWN_FORMATS}",
        )
    _check_single_subset(folder, files)
    _check_split_names(folder, files)
    problems += _report_problems(folder, files, passed_over, companions)
    return Sources(
        tuple(Source(file.path, choose_reader(file.path), file.split_name) for file in files),
        tuple(problems),
    )


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder except hidden ones, sorted by path. Errors: `OSError`."""
    return [
        path for path in _list_files(folder) if path.is_file() and not _is_hidden(path.name, False)
    ]


def data_files_in(folder: Path) -> list[Path]:
    """The files below a folder that hold rows, by suffix, JSON by content. Errors: `OSError`."""
    below = [(path, path.relative_to(folder).as_posix()) for path in _list_files(folder)]
    return [
        path
        for path, name in below
        if _is_data(path) and not _is_companion(path, name) and not _is_other_json(path, name)
    ]


def report_skipped_files(folder: Path, names: Sequence[str]) -> Problem:
    """The warning that lists the files of a folder that are not read."""
    return _build_problem(
        "files-passed-over", folder, truncate_list(names, MAX_SHOWN_NAMES), len(names)
    )


def _list_files(folder: Path) -> list[Path]:
    """Every file below a folder, sorted by path; a hidden folder is listed but not entered."""
    found: list[Path] = []
    ahead = [folder]
    while ahead:
        for entry in os.scandir(ahead.pop()):
            # A linked folder is not entered: links can form a cycle.
            is_folder = entry.is_dir(follow_symlinks=False)
            (ahead if is_folder and not _is_hidden(entry.name, is_folder) else found).append(
                Path(entry.path)
            )
    return sorted(found)


def _is_hidden(name: str, is_folder: bool) -> bool:
    """Dot files, and folders such as __MACOSX and __pycache__, which `datasets` skips too."""
    return name.startswith(".") or (is_folder and name.startswith("__"))


def _is_companion(path: Path, relative_path: str) -> bool:
    """Whether a file accompanies data without being data: hidden, a description, or metadata."""
    name = path.name.lower()
    is_cache = name.endswith(".arrow") and name.startswith("cache-")
    is_description = (
        name.startswith(_DESCRIPTION_PREFIXES) and get_data_suffix(path)[1:] not in READERS
    )
    return (
        _is_hidden(path.name, path.is_dir())
        or is_cache
        or is_description
        or name in _METADATA_FILES
    )


def _is_data(path: Path) -> bool:
    return get_data_suffix(path)[1:] in READERS and path.is_file()


def _is_other_json(path: Path, relative_path: str) -> bool:
    """Whether this is JSON without rows, such as a label table, and not named like a split."""
    if (
        get_data_suffix(path) != ".json"
        or find_split_names(relative_path)
        or choose_reader(path) is not read_json
    ):
        return False
    try:
        next(read_json(path), None)
    except NotRows:
        return True
    except DataError:
        return False  # an error of a data file, which must be reported: the file counts as data
    return False


def _choose_subset(folder: Path, paths: Sequence[Path], problems: list[Problem]) -> Subset | None:
    """The README's subset whose files exist, None without one. Errors: `DataError` for several."""
    try:
        named = read_subsets(folder)
    except InvalidYaml as error:
        problems.append(_build_problem("unreadable-card", folder / "README.md", error.got))
        return None
    below = [path.relative_to(folder).as_posix() for path in paths if _is_data(path)]
    here = {subset.name: sum(subset.find_split(path)[1] for path in below) for subset in named}
    present = [subset for subset in named if here[subset.name]]
    if len(present) > 1:
        raise _build_subsets_error(
            folder,
            "README of the folder names several subsets",
            [
                f"{subset.name} ({here[subset.name]} file{'s' * (here[subset.name] > 1)})"
                for subset in present
            ],
            next(
                (
                    path.split("/")[0]
                    for path in below
                    if "/" in path and present[0].find_split(path)[1]
                ),
                None,
            ),
        )
    if named and not present:
        problems.append(
            _build_problem(
                "card-without-files", folder / "README.md", truncate_list([s.name for s in named])
            )
        )
    return present[0] if present else None


def _classify_file(path: Path, relative_path: str, subset: Subset | None) -> _FolderFile:
    """Classify by the split in the README, else in the folders, else in the file name.

    Errors: `DataError` for a name that contains two splits.
    """
    said = subset.find_split(relative_path)[0] if subset else None
    *folders, name = relative_path.split("/")
    shard = get_shard_prefix(name)
    if said is not None:
        sides, rests = find_split_names(said), [strip_split_words(said)]
    else:
        sides = set().union(*map(find_split_names, folders)) or find_split_names(name)
        rests = [*map(strip_split_words, folders), *([strip_split_words(shard)] if shard else [])]
    if len(sides) > 1:
        raise DataError(
            "unclear-split",
            "file name names two splits",
            at=str(path),
            got=" and ".join(sorted(sides)),
            hint="use only one of train, validation and test in the name",
        )
    is_datasets_own = shard == "data"  # save_to_disk calls every shard data-00000-of-00002.arrow
    key = tuple(rest for rest in rests if rest and not (is_datasets_own and rest == "data"))
    return _FolderFile(
        path,
        relative_path,
        next(iter(sides), None),
        key,
        strip_split_words(shard or name.split(".")[0]),
    )


def _check_single_subset(folder: Path, files: Sequence[_FolderFile]) -> None:
    groups: dict[tuple[str, ...], list[_FolderFile]] = {}
    for file in files:
        groups.setdefault(file.subset, []).append(file)
    if len(groups) > 1:
        found = [
            f"{'/'.join(key) or 'files without a subset'} ({len(group)}"
            f" file{'s' * (len(group) > 1)})"
            for key, group in groups.items()
        ]
        first = next(
            ("/".join(key) for key in groups if key and folder.joinpath(*key).is_dir()), None
        )
        raise _build_subsets_error(folder, "folder contains several subsets", found, first)


def _build_subsets_error(
    folder: Path, what: str, found: Sequence[str], first: str | None
) -> DataError:
    one = (
        f"pass one of them, for example {folder / first}"
        if first
        else "put the files of one into a folder"
    )
    return DataError(
        "several-subsets",
        what,
        at=str(folder),
        got=truncate_list(found, MAX_SHOWN_NAMES),
        hint=f"{one}; to use all as one data set, move the files into one folder",
    )


def _check_split_names(folder: Path, files: Sequence[_FolderFile]) -> None:
    without = [file.relative_path for file in files if file.split_name is None]
    # All or none: a file without a split among others could be any of them.
    if 0 < len(without) < len(files):
        raise DataError(
            "unclear-split",
            "only some files of the folder name a split",
            at=str(folder),
            got=f"no split in the name of {truncate_list(without)}",
            hint="rename them to train, validation or test; or remove them",
        )


def _report_problems(
    folder: Path,
    files: Sequence[_FolderFile],
    passed_over: Sequence[str],
    companions: Sequence[str],
) -> Iterator[Problem]:
    rests = {
        side: {file.name_rest for file in files if file.split_name == side}
        for side in {file.split_name for file in files}
    }
    # Shards of a split share a name; different names may be different data sets.
    if any(len(rest) > 1 for rest in rests.values()):
        yield _build_problem(
            "several-files",
            folder,
            truncate_list([file.relative_path for file in files], MAX_SHOWN_NAMES),
        )
    if passed_over:
        yield report_skipped_files(folder, passed_over)
    if companions:
        yield _build_problem(
            "other-files", folder, truncate_list(companions, MAX_SHOWN_NAMES), len(companions)
        )


def _build_problem(code: str, place: Path, got: str, count: int = 1) -> Problem:
    kind = ROW_ERROR_KINDS[code]
    return Problem(
        code=f"data/{code}",
        severity=kind.severity,
        count=count,
        message=kind.message,
        got=got,
        hint=kind.hint,
        file=str(place),
    )
