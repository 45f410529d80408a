"""Read YAML files of other tools safely (`yaml_io.py`) and up to a size limit."""

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
