"""The base class of all records: frozen, closed, JSON in and out, with a content fingerprint.

Stages exchange records. A record cannot be changed after creation, an unknown key is an error, and
two records with the same content have the same fingerprint on every machine.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tunesmith.atomic_io import read_own_file, write_atomically
from tunesmith.errors import NewerRecord, RecordError
from tunesmith.records.old_names import (
    RENAMED_FIELDS,
    RENAMED_VALUES,
    read_old_names,
    write_old_names,
)

UNKNOWN_VALUE_ERRORS = {"extra_forbidden", "literal_error"}
"""pydantic error types of a record with keys or literals that this version does not know."""


def dump_canonical_json(value: Any) -> str:
    """JSON with sorted keys and no optional whitespace: equal content gives equal text. NaN is
    rejected.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def compute_fingerprint(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of a value."""
    # Lone surrogates occur in real JSON data and have no UTF-8 encoding.
    return hashlib.sha256(dump_canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


class Record(BaseModel):
    """A frozen record. Subclasses only declare fields; `None` means "unknown", never "zero"."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, stored: Any) -> Any:
        """Files of earlier versions have earlier names of fields (`old_names.py`)."""
        name = cls.get_stored_name()
        is_renamed = name in RENAMED_FIELDS or name in RENAMED_VALUES
        return read_old_names(name, stored) if is_renamed and isinstance(stored, dict) else stored

    @classmethod
    def get_stored_name(cls) -> str:
        """The record's name in `old_names.py`; a subclass that only narrows fields is stored as its
        base is.
        """
        return cls.__mro__[cls.__mro__.index(Record) - 1].__name__

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the record's content, under the names by which fields were first stored."""
        return compute_fingerprint(_dump_with_old_names(self, self.model_dump(mode="json")))

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in these fields, validated as when a record is built.

        Unlike pydantic's `model_copy(update=...)`, which drops a misspelled name and takes any
        value. Errors: `RecordError` for a name that is no field, or a value that does not fit.
        """
        fields = type(self).model_fields
        for name in sorted(changes.keys() - fields.keys()):
            near = get_close_matches(name, fields, n=1, cutoff=0.0)
            raise RecordError(
                "unknown-field",
                f"{type(self).__name__} has no field of this name",
                at=type(self).__name__,
                got=name,
                hint=f"did you mean {near[0]}?" if near else "",
            )
        try:
            made = type(self).model_validate(
                {**{name: getattr(self, name) for name in fields}, **changes}
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise RecordError(
                "invalid-value",
                f"invalid value for a field of {type(self).__name__}",
                at=".".join(map(str, first["loc"])),
                got=first["msg"],
                hint="pass a value of the field's type",
            ) from None
        made._copy_set_fields(self, changes.keys())
        return made

    def _copy_set_fields(self, other: "Record", more: Collection[str] = ()) -> None:
        """Mark as explicitly set what is so in another record: that decides what may still be
        filled in (`workflow/time_budget.py`).
        """
        fields_set = other.model_fields_set | set(more)
        object.__setattr__(self, "__pydantic_fields_set__", fields_set)

    def write(self, path: Path) -> None:
        """Write the record as indented JSON; a reader sees the old file or the new one, never a
        part.
        """
        write_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record from a file.

        Errors: `RecordError` if the file is missing, is not JSON, or does not match this record.
        """
        try:
            return cls.parse(read_own_file(path), str(path))
        except FileNotFoundError:
            raise RecordError(
                "missing",
                f"{cls.__name__.lower()} record not found",
                at=str(path),
                hint="check the path",
            ) from None

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Self:
        """Parse the content of a file.

        Errors: `RecordError` if it is not JSON or does not match this record: of a newer version,
        or damaged.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            # Only unknown keys or literals: a newer version wrote it. Any other error means damage.
            if {one["type"] for one in error.errors()} <= UNKNOWN_VALUE_ERRORS:
                raise NewerRecord(
                    "newer",
                    f"{cls.__name__.lower()} record was written by a newer version of tunesmith",
                    at=where,
                    got=f"{key}: {first['msg']}",
                    hint="pip install --upgrade tunesmith",
                ) from None
            raise RecordError(
                "unreadable",
                f"{cls.__name__.lower()} record is invalid",
                at=f"{where} {key}".rstrip(),
                got=first["msg"],
                hint="restore the file from a backup; or run the command again",
            ) from None


def _dump_with_old_names(value: Any, dumped: Any) -> Any:
    """`dumped` is the JSON of `value`; in it, every record has the names of `old_names.py`."""
    if isinstance(value, Record):
        inner = {
            name: _dump_with_old_names(getattr(value, name), part) for name, part in dumped.items()
        }
        return write_old_names(value.get_stored_name(), inner)
    if isinstance(value, Mapping):
        # JSON has keys of text: they stand in the same order
        return {
            key: _dump_with_old_names(part, dumped[key])
            for key, part in zip(dumped, value.values(), strict=True)
        }
    if isinstance(value, tuple | list):
        return [_dump_with_old_names(one, part) for one, part in zip(value, dumped, strict=True)]
    return dumped
