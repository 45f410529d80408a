"""Which files a path stands for, of which format, and on which side of a given split.

A folder may be what Hugging Face `datasets` saves (`data-*.arrow`; one subfolder a split when `dataset_dict.json` is
there), a repository of such a dataset with its README, or any folder of data files. It is read whole: every file that
is not read is named, several subsets or splits of one kind are refused with their names (docs/decisions/091).
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.read.card import Subset, subsets_of
from tunesmith.data.read.faults import KINDS
from tunesmith.data.read.formats import COUNTED_IN_LINES, KNOWN, READERS, Reader, data_ending, reader_of
from tunesmith.data.read.json_file import read_json
from tunesmith.data.read.split_words import Side, rest_of, shard_name, sides_in
from tunesmith.errors import DataError, name_some
from tunesmith.plain_yaml import NotYaml
from tunesmith.records import CountedIn, Problem

NAMES_TOLD = 20
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""`https://`, `hf://`, `s3://`: a path has lost one of the slashes, and a drive's name has one letter."""
_DESCRIPTIONS = ("readme", "license", "licence", "notice", "citation", "changelog", "_success", "thumbs", "desktop")
_METADATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json")


class Source(NamedTuple):
    """One file to read."""

    path: Path
    read: Reader
    side: Side | None

    @property
    def counted_in(self) -> CountedIn:
        """What the numbers of its rows count."""
        return "lines" if self.read in COUNTED_IN_LINES else "rows"


class Sources(NamedTuple):
    """The files to read, and what must be said of the others."""

    files: tuple[Source, ...]
    problems: tuple[Problem, ...] = ()


class _File(NamedTuple):
    """A data file of a folder. `subset` is what its path says besides the split; `rest` the same of its own name."""

    path: Path
    below: str
    side: Side | None
    subset: tuple[str, ...]
    rest: str


def find_sources(path: Path) -> Sources:
    """The files that a path stands for. Errors: `DataError` when there is nothing to read."""
    try:
        if path.is_dir():
            return _sources_in(path)
        if _ADDRESS.match(str(path)):
            raise DataError(
                "an-address", "Data is read from files of this machine, and this is an address.", where=str(path),
                do="download it, and give the file or folder",
            )  # fmt: skip
        if not path.exists():
            raise DataError("missing", "There is no such file or folder.", where=str(path), do="check the path")
        if not path.is_file():  # opening a pipe would wait for ever, and it can be read only once
            raise DataError(
                "not-a-file", "This is neither a file nor a folder.", where=str(path), found="a pipe or a device",
                do="save the examples in a file",
            )  # fmt: skip
        return Sources((Source(path, reader_of(path), None),))
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that this user, or no user, can read."""
    if not isinstance(error, PermissionError):
        found = error.strerror or str(error)
        return DataError("unreadable", "This cannot be read.", where=str(path)[:300], found=found, do="check the path")
    return DataError(
        "no-permission",
        "This may not be read.",
        where=str(error.filename or path),
        found="permission denied",
        do="give yourself the right to read it (chmod u+r)",
    )


def _sources_in(folder: Path) -> Sources:
    paths = _walk(folder)
    problems: list[Problem] = []
    subset = _subset_of_card(folder, paths, problems)
    files: list[_File] = []
    passed_over: list[str] = []
    companions: list[str] = []
    for path in paths:
        below = path.relative_to(folder).as_posix()
        if _is_companion(path, below):
            companions.append(below)
        elif not _is_data(path) or (subset and not subset.split_of(below)[1]) or _is_other_json(path, below):
            passed_over.append(below)
        else:
            files.append(_file(path, below, subset))
    if not files:
        raise DataError(
            "no-data-files",
            "This folder holds nothing that can be read.",
            where=str(folder),
            found=name_some(sorted({*passed_over, *companions})) or "an empty folder",
            do=f"give {KNOWN}",
        )
    _refuse_several_subsets(folder, files)
    _refuse_missing_sides(folder, files)
    problems += _problems(folder, files, passed_over, companions)
    return Sources(tuple(Source(file.path, reader_of(file.path), file.side) for file in files), tuple(problems))


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder, hidden ones apart, in the order of the names. Errors: `OSError`."""
    return [path for path in _walk(folder) if path.is_file() and not _is_hidden(path.name, False)]


def data_files_in(folder: Path) -> list[Path]:
    """Those that hold rows, by their ending and, where that says little, their content. Errors: `OSError`."""
    below = [(path, path.relative_to(folder).as_posix()) for path in _walk(folder)]
    return [
        path
        for path, name in below
        if _is_data(path) and not _is_companion(path, name) and not _is_other_json(path, name)
    ]


def files_passed_over(folder: Path, names: Sequence[str]) -> Problem:
    """The warning that names what is not read of a folder."""
    return _problem("files-passed-over", folder, name_some(names, NAMES_TOLD), len(names))


def _walk(folder: Path) -> list[Path]:
    """Everything below that is no folder, in the order of the names; of hidden folders only the folder."""
    found: list[Path] = []
    ahead = [folder]
    while ahead:
        for entry in os.scandir(ahead.pop()):
            is_folder = entry.is_dir(follow_symlinks=False)
            (ahead if is_folder and not _is_hidden(entry.name, is_folder) else found).append(Path(entry.path))
    return sorted(found)


def _is_hidden(name: str, is_folder: bool) -> bool:
    """Also the folders that archives of a Mac and Python leave behind, which `datasets` passes over too."""
    return name.startswith(".") or (is_folder and name.startswith("__"))


def _is_companion(path: Path, below: str) -> bool:
    """A file that stands beside data and is none: hidden, a description, what `datasets` keeps for itself."""
    name = path.name.lower()
    is_cache = name.endswith(".arrow") and name.startswith("cache-")
    is_description = name.startswith(_DESCRIPTIONS) and data_ending(path) not in READERS
    return _is_hidden(path.name, path.is_dir()) or is_cache or is_description or name in _METADATA


def _is_data(path: Path) -> bool:
    return data_ending(path) in READERS and path.is_file()


def _is_other_json(path: Path, below: str) -> bool:
    """A JSON object that holds no rows, such as a table of label names, unless its name says that it is a split."""
    if data_ending(path) != ".json" or sides_in(below) or reader_of(path) is not read_json:
        return False
    try:
        next(read_json(path), None)
    except DataError as error:
        return error.code == "data/not-rows"
    return False


def _subset_of_card(folder: Path, paths: Sequence[Path], problems: list[Problem]) -> Subset | None:
    """The one subset that the README names and of which files are here. Errors: `DataError` when there are several."""
    try:
        named = subsets_of(folder)
    except NotYaml as error:
        problems.append(_problem("unreadable-card", folder / "README.md", error.found))
        return None
    below = [path.relative_to(folder).as_posix() for path in paths if _is_data(path)]
    here = {subset.name: sum(subset.split_of(path)[1] for path in below) for subset in named}
    present = [subset for subset in named if here[subset.name]]
    if len(present) > 1:
        raise _several_subsets(
            folder, "The README of this folder names several subsets.",
            [f"{subset.name} ({here[subset.name]} file{'s' * (here[subset.name] > 1)})" for subset in present],
            next((path.split("/")[0] for path in below if "/" in path and present[0].split_of(path)[1]), None),
        )  # fmt: skip
    if named and not present:
        problems.append(_problem("card-without-files", folder / "README.md", name_some([s.name for s in named])))
    return present[0] if present else None


def _file(path: Path, below: str, subset: Subset | None) -> _File:
    """The split that the README says, else the folders, else the file's own name."""
    said = subset.split_of(below)[0] if subset else None
    *folders, name = below.split("/")
    shard = shard_name(name)
    if said is not None:
        sides, rests = sides_in(said), [rest_of(said)]
    else:
        sides = set().union(*map(sides_in, folders)) or sides_in(name)
        rests = [*map(rest_of, folders), *([rest_of(shard)] if shard else [])]
    if len(sides) > 1:
        raise DataError(
            "unclear-split", "The name of this file says two splits.", where=str(path),
            found=" and ".join(sorted(sides)), do="name only one of train, validation or test",
        )  # fmt: skip
    is_datasets_own = shard == "data"  # save_to_disk calls every shard data-00000-of-00002.arrow
    key = tuple(rest for rest in rests if rest and not (is_datasets_own and rest == "data"))
    return _File(path, below, next(iter(sides), None), key, rest_of(shard or name.split(".")[0]))


def _refuse_several_subsets(folder: Path, files: Sequence[_File]) -> None:
    groups: dict[tuple[str, ...], list[_File]] = {}
    for file in files:
        groups.setdefault(file.subset, []).append(file)
    if len(groups) > 1:
        found = [
            f"{'/'.join(key) or 'files without a subset'} ({len(group)} file{'s' * (len(group) > 1)})"
            for key, group in groups.items()
        ]
        first = next(("/".join(key) for key in groups if key and folder.joinpath(*key).is_dir()), None)
        raise _several_subsets(folder, "This folder holds several subsets.", found, first)


def _several_subsets(folder: Path, what: str, found: Sequence[str], first: str | None) -> DataError:
    one = f"give one of them, for example {folder / first}" if first else "put the files of one into a folder"
    return DataError(
        "several-subsets", what, where=str(folder), found=name_some(found, NAMES_TOLD),
        do=f"{one}; to use all as one data set, put the files side by side",
    )  # fmt: skip


def _refuse_missing_sides(folder: Path, files: Sequence[_File]) -> None:
    without = [file.below for file in files if file.side is None]
    if 0 < len(without) < len(files):
        raise DataError(
            "unclear-split",
            "Some files of this folder say which split they are, others do not.",
            where=str(folder),
            found=f"{name_some(without)} without a split in the name",
            do="name them train, validation or test, or take them out",
        )


def _problems(
    folder: Path, files: Sequence[_File], passed_over: Sequence[str], companions: Sequence[str]
) -> Iterator[Problem]:
    rests = {side: {file.rest for file in files if file.side == side} for side in {file.side for file in files}}
    if any(len(rest) > 1 for rest in rests.values()):
        yield _problem("several-files", folder, name_some([file.below for file in files], NAMES_TOLD))
    if passed_over:
        yield files_passed_over(folder, passed_over)
    if companions:
        yield _problem("other-files", folder, name_some(companions, NAMES_TOLD), len(companions))


def _problem(code: str, place: Path, found: str, count: int = 1) -> Problem:
    kind = KINDS[code]
    return Problem(
        code=f"data/{code}", severity=kind.severity, count=count, message=f"{kind.message}: {found}", do=kind.do,
        file=str(place),
    )  # fmt: skip
