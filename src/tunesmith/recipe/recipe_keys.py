"""Every key of a recipe as a dotted path, and the nearest known key for a mistyped one."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from tunesmith.recipe.key_aliases import find_own_key
from tunesmith.records import Recipe
from tunesmith.records.registered_name import RegisteredName


def _get_kind(field: FieldInfo) -> Any:
    """The type of a field; of a name in a registry the built-in names, which are the same
    everywhere.
    """
    for limit in field.metadata:
        if isinstance(limit, RegisteredName):
            return Literal[*limit.registry.builtins]
    return field.annotation


def _walk_fields(record: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in record.model_fields.items():
        kind = _get_kind(field)
        yield f"{prefix}{name}", kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk_fields(kind, f"{prefix}{name}.")


class RecipeKey(NamedTuple):
    """A key for display: its dotted path, its default as in a file ("" for null), the allowed
    values in words, and what it is for.
    """

    path: str
    default: str
    allowed: str
    description: str


_LIMIT_PHRASES = {"Ge": "at least", "Gt": "more than", "Le": "at most", "Lt": "less than"}
TOP_LEVEL_GROUP = "recipe"
"""Name of the group of keys outside all sections."""


def describe_groups() -> dict[str, tuple[str, list[RecipeKey]]]:
    """Each group of keys by its name: its description (the docstring of its record), and its
    keys.
    """
    return dict(_describe_fields(Recipe, ""))


def _describe_fields(
    record: type[BaseModel], prefix: str
) -> Iterator[tuple[str, tuple[str, list[RecipeKey]]]]:
    keys, inner = [], []
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner.append((field.annotation, f"{prefix}{name}."))
            continue
        default = field.get_default(call_default_factory=True)
        limits = [
            f"{_LIMIT_PHRASES[type(limit).__name__]} {getattr(limit, type(limit).__name__.lower())}"
            for limit in field.metadata
            if limit is not None and not isinstance(limit, BeforeValidator | RegisteredName)
        ]
        allowed = ", ".join((_describe_kind(_get_kind(field)), *limits))
        path, description = f"{prefix}{name}", " ".join((field.description or "").split())
        keys.append(RecipeKey(path, format_value(default), allowed, description))
    yield prefix.rstrip(".") or TOP_LEVEL_GROUP, (" ".join((record.__doc__ or "").split()), keys)
    for record_type, deeper in inner:
        yield from _describe_fields(record_type, deeper)


_KIND_WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    NoneType: "null",
}


def _describe_kind(kind: Any) -> str:
    """The type of a key in words: "integer or null", "sft, dpo or kto", "list of text"."""
    *first, last = _list_choices(kind)
    return f"{', '.join(first)} or {last}" if first else last


def _list_choices(kind: Any) -> list[str]:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return [str(part) for part in parts]
    if get_origin(kind) is dict:
        return ["mapping"]
    if get_origin(kind) is tuple:
        return [f"list of {_describe_kind(parts[0])}"]
    if parts:  # a union
        return [choice for part in parts for choice in _list_choices(part)]
    return [_KIND_WORDS.get(kind, "mappings")]


def format_value(value: Any) -> str:
    """A value as it stands in a recipe file; "" for null."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def build_json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file, by which an editor completes and checks keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Recipe.model_json_schema(),
        "title": "tunesmith recipe",
    }


@cache
def get_known_keys() -> dict[str, Any]:
    """Dotted path -> type of the field, sections included: `training`, `training.epochs`, ..."""
    return dict(_walk_fields(Recipe, ""))


def is_section(path: str) -> bool:
    """Whether a path names a section."""
    kind = get_known_keys().get(path)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_text_key(path: str) -> bool:
    """Whether the value at this path is free text, which must not be parsed as YAML."""
    return path.startswith("data.columns.") or get_known_keys().get(path) in (str, str | None)


def _get_last_name(path: str) -> str:
    """The last name of a path, in the spelling of keys."""
    return path.rsplit(".", 1)[-1].replace("-", "_").lower()


def find_nearest_key(path: str) -> str | None:
    """The key that was probably meant: the same word in another section, else the best match by
    spelling.
    """
    word = _get_last_name(path)
    words: dict[str, list[str]] = {}
    for known in get_known_keys():
        words.setdefault(known.rsplit(".", 1)[-1], []).append(known)
    section = path.rpartition(".")[0]
    siblings = [
        known.rsplit(".", 1)[-1]
        for known in get_known_keys()
        if known.rpartition(".")[0] == section
    ]
    # In this order: the exact word anywhere, a typo within the same section, a typo anywhere.
    for candidates, cutoff in (
        ([w for w in words if w == word], 1.0),
        (siblings, 0.6),
        (list(words), 0.6),
    ):
        match = get_close_matches(word, candidates, n=1, cutoff=cutoff)
        if match:
            found = words[match[0]]
            return next((known for known in found if known.rpartition(".")[0] == section), found[0])
    return None


def suggest_key(path: str) -> str:
    """What to write in place of an unknown key: ours for another tool's name, else the nearest by
    spelling.

    An exact word of ours in another section takes precedence over other tools' names:
    `training.rank` means `adapter.rank`.
    """
    near, ours = find_nearest_key(path), find_own_key(path)
    if ours is not None and (near is None or near.rsplit(".", 1)[-1] != _get_last_name(path)):
        meant = [f"did you mean {ours.key}?"] if ours.key else []
        return " ".join([*meant, *([ours.hint] if ours.hint else [])])
    return f"did you mean {near}?" if near else "list all keys with tunesmith keys"
