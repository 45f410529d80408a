"""Read the JSON files of a model folder: config.json, tokenizer_config.json and others.

They are untrusted. JSON readers differ in their treatment of a repeated key (first or last wins),
of NaN, and of numbers with thousands of digits, so that the value checked need not be the value
used. Such a file is refused; so are a pipe, a very large file and text that is not UTF-8. A
byte-order mark is removed.
"""

import codecs
import json
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_regular_file
from tunesmith.errors import ModelError

MAX_SETTINGS_BYTES = 32 * 2**20
"""The index of a model with 100,000 tensors is 12 MB; every other settings file is far smaller."""
MAX_INTEGER_DIGITS = 400


def read_settings(path: Path) -> dict[str, Any] | None:
    """The JSON object in a settings file; None when there is no such file.

    Errors: `ModelError` when it is not exactly one object; `OSError` when it cannot be opened.
    """
    raw = read_settings_bytes(path)
    return None if raw is None else parse_settings(raw, path)


def read_settings_bytes(path: Path) -> bytes | None:
    """The bytes of a settings file without a byte-order mark; None when there is no such file."""
    try:
        return read_regular_file(path, MAX_SETTINGS_BYTES).removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        return None


def parse_settings(raw: bytes, path: Path) -> dict[str, Any]:
    """Parse the bytes of a settings file into its JSON object. Errors: `ModelError`."""
    try:
        content = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_reject_duplicate_keys,  # a plain dict would silently use the last
            parse_constant=_parse_constant,
            parse_int=_parse_bounded_int,
        )
        # A lone surrogate can only come from an escape, so files without escapes skip the check.
        if b"\\u" in raw:
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise build_broken_settings_error(path, "nested too deeply") from None
    except UnicodeDecodeError as error:
        raise build_broken_settings_error(path, f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise build_broken_settings_error(path, "a lone surrogate") from None
    except ValueError as error:
        raise build_broken_settings_error(path, str(error)[:200]) from None
    if not isinstance(content, dict):
        raise build_broken_settings_error(path, f"{type(content).__name__} instead of an object")
    return content


def build_broken_settings_error(path: Path, got: str) -> ModelError:
    """The error for a settings file that is not one well-formed JSON object."""
    return ModelError(
        "broken-settings",
        "model settings file is not a JSON object",
        at=str(path),
        got=got,
        hint="download the file again",
    )


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key[:80]!r} in one object")
        found[key] = value
    return found


def _parse_constant(name: str) -> float:
    """Infinity occurs in settings of sound models (`time_step_limit` of Mamba 2), NaN in none."""
    if name == "NaN":
        raise ValueError("NaN is not a JSON number")
    return float(name.replace("Infinity", "inf"))


def _parse_bounded_int(digits: str) -> int:
    # int() takes quadratic time in the number of digits.
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)
