"""Read files of other tools safely: YAML (`yaml_io.py`) up to a size limit, and paths in a file
only below that file's folder.
"""

from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_text_file
from tunesmith.errors import DataError
from tunesmith.yaml_io import InvalidYaml, load_plain_yaml

MAX_YAML_BYTES = 8 * 2**20


def read_yaml(path: Path) -> Any:
    """The value in a YAML file. Errors: `DataError` (`data/not-yaml`) with the line."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise InvalidYaml(
                f"{path.stat().st_size / 2**20:,.0f} MiB; at most {MAX_YAML_BYTES // 2**20} "
                "MiB are supported"
            )
        return load_plain_yaml(read_text_file(path), number_keys=True)
    except InvalidYaml as error:
        place, found = f"{path} line {error.line}" if error.line else str(path), error.got
    except UnicodeDecodeError as error:
        place, found = str(path), f"not UTF-8 at byte {error.start:,}"
    except OSError as error:
        place, found = str(path), error.strerror or str(error)
    raise DataError(
        "not-yaml",
        "file is not valid YAML",
        at=place,
        got=found,
        hint="fix that line",
    )


def find_file_below(folder: Path, name: object) -> Path | None:
    """The file with this name in the folder or below it; None if absent, outside or not a name."""
    if not isinstance(name, str) or "\0" in name or "\n" in name:
        return None
    try:
        # Resolved first, so that neither ".." nor a link leads out of the folder.
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except OSError:  # e.g. longer than any file name may be
        return None
