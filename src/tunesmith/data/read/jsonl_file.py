"""Read JSON Lines: one JSON object per line. Blank lines are skipped; lines may end in LF or CRLF.

Stricter than `json.loads`, which silently accepts repeated keys (the last wins), NaN, and lone
surrogates.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from tunesmith.data.read.line_reader import UTF8_BOM, read_lines
from tunesmith.data.read.row_errors import MAX_JSON_DEPTH, InvalidRow, Row, RowError

_SPACE = re.compile(r"[ \t\n\r]*")
_KEY_END = re.compile(r'"[ \t\n\r]*:')
_HALF = re.compile("[\ud800-\udfff]")


def read_jsonl(path: Path) -> Iterator[Row | RowError]:
    """Each line as a row, or as the error in it."""
    for number, raw, end in read_lines(path):
        if raw is None:
            yield RowError("line-too-long", number, "no line end within 16 MiB")
            continue
        if number == 1 and raw.startswith(UTF8_BOM):
            yield RowError("bom", 1, "the bytes EF BB BF")
            raw = raw[len(UTF8_BOM) :]
        if not raw.strip():
            continue
        try:
            yield Row(number, parse_object(raw))
        except InvalidRow as bad:
            # Without a line end this is the last line: an interrupted write, not a syntax error.
            code = (
                "cut-line"
                if bad.code == "unreadable-line" and not end.endswith(b"\n")
                else bad.code
            )
            yield RowError(code, number, bad.got)


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in these bytes. Errors: `InvalidRow` with the cause."""
    if (texts := parse_texts(raw)) is not None:
        return texts
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise InvalidRow("unreadable-line", f"{_format_excerpt(raw)}, which is not an object")
    return value


def parse_texts(raw: bytes) -> dict[str, Any] | None:
    """The object in these bytes if all its values are texts, as in most rows; None for anything
    else.

    A fast path that takes a third of the time; it also returns None where only `parse_json` can
    decide. Each pair has a colon after its key, so as many keys as colons means as many keys as
    pairs: no key is repeated.
    """
    try:
        text = raw.decode("utf-8")
        values, end = _TEXTS_DECODER.raw_decode(text)
    except (ValueError, RecursionError, InvalidRow):
        return None
    # An escape may be a lone surrogate, NUL is refused: both need the checks of `parse_json`.
    if end != len(text) or type(values) is not dict or "\\u" in text or "\0" in text:
        return None
    for value in values.values():
        if type(value) is not str:
            return None
    # Colons inside values are common, so count the exact pattern only if the cheap count differs.
    if text.count(":") != len(values) and len(_KEY_END.findall(text)) != len(values):
        return None
    return values


def parse_json(raw: bytes) -> Any:
    """Any JSON value. Errors: `InvalidRow` with the cause."""
    return _parse(raw, lambda text: [_DECODER.decode(text)])[0]


def parse_documents(raw: bytes) -> list[Any]:
    """All JSON values that follow one another. Errors: as `parse_json`."""
    return _parse(raw, _decode_documents)


def _decode_documents(text: str) -> list[Any]:
    documents, at = [], 0
    while at < len(text):
        document, at = _DECODER.raw_decode(text, at)
        documents.append(document)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches also nothing
    return documents


def _parse(raw: bytes, decode: Callable[[str], list[Any]]) -> list[Any]:
    try:
        values = decode(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise InvalidRow(
            "broken-utf8", f"byte {raw[error.start]:#04x} at position {error.start + 1}"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRow(
            "unreadable-line", f"{_format_excerpt(raw)} ({explain_json_error(error)})"
        ) from None
    except RecursionError:
        raise InvalidRow("too-deep", "nested too deeply") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise InvalidRow("number-too-long", "an integer of more than 4,300 digits") from None
    # The number of brackets bounds the depth: the exact depth is computed only when it can matter.
    if (
        raw.count(b"[") + raw.count(b"{") > MAX_JSON_DEPTH
        and (depth := max(map(_compute_depth, values), default=0)) > MAX_JSON_DEPTH
    ):
        raise InvalidRow("too-deep", f"{depth} levels")
    if b"\\u" in raw or b"\0" in raw:
        _check_texts(values)
    return values


def explain_json_error(error: json.JSONDecodeError) -> str:
    """Cause and position; some of the library's messages already end with "at"."""
    line = f" of line {error.lineno:,}" if error.lineno > 1 else ""
    return f"{error.msg.removesuffix(' at')} at position {error.colno:,}{line}"


def _build_unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise InvalidRow(
            "duplicate-key", f'"{next(key for key, count in counts.items() if count > 1)}" twice'
        )
    return values


def _reject_constant(name: str) -> NoReturn:
    raise InvalidRow("not-a-number", name)


def _parse_finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRow("not-a-number", f"{text}, which exceeds the range of a number")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_unique_object,
    parse_constant=_reject_constant,
    parse_float=_parse_finite_float,
    strict=False,
)
"""`strict=False` allows tabs and line ends in strings, as exports write; NUL is refused below."""
_TEXTS_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant, parse_float=_parse_finite_float, strict=False
)
"""The same without the check of each object's pairs, so that it runs in C from end to end."""


def _compute_depth(value: Any) -> int:
    """Nesting depth, computed level by level so that no input can exhaust the stack."""
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        check_string(value)
    elif isinstance(value, dict):
        for key, child in value.items():
            check_string(key)
            _check_texts(child)
    elif isinstance(value, list):
        for child in value:
            _check_texts(child)


def check_string(text: str) -> None:
    """Errors: `InvalidRow` for a NUL or a lone surrogate."""
    if "\0" in text:
        raise InvalidRow("nul", f"NUL at character {text.index(chr(0)) + 1}")
    if not text.isascii() and _HALF.search(text):
        raise InvalidRow("lone-surrogate", "a lone surrogate")


def _format_excerpt(raw: bytes) -> str:
    text = raw[:40].decode("utf-8", "replace")
    return f"{text!r}…" if len(raw) > 40 else repr(text)
