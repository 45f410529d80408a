"""Every key that a recipe knows, as dotted paths, and the known key that a mistyped one is nearest to."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel

from tunesmith.records import Recipe


def _walk(record: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in record.model_fields.items():
        kind = field.annotation
        yield f"{prefix}{name}", kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")


@cache
def known_keys() -> dict[str, Any]:
    """Dotted path -> type of the field, sections included: `training`, `training.epochs`, ..."""
    return dict(_walk(Recipe, ""))


def is_section(path: str) -> bool:
    """Whether a path names a group of keys."""
    kind = known_keys().get(path)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def takes_text(path: str) -> bool:
    """Whether the value at this path is any text, so that nothing in it is to be read as YAML."""
    return path.startswith("data.columns.") or known_keys().get(path) in (str, str | None)


def nearest_key(path: str) -> str | None:
    """The known key that was probably meant: the same word in another section, else the best match by spelling."""
    word = path.rsplit(".", 1)[-1].replace("-", "_").lower()
    words: dict[str, list[str]] = {}
    for known in known_keys():
        words.setdefault(known.rsplit(".", 1)[-1], []).append(known)
    section = path.rpartition(".")[0]
    siblings = [known.rsplit(".", 1)[-1] for known in known_keys() if known.rpartition(".")[0] == section]
    for candidates, cutoff in (([w for w in words if w == word], 1.0), (siblings, 0.6), (list(words), 0.6)):
        match = get_close_matches(word, candidates, n=1, cutoff=cutoff)
        if match:
            found = words[match[0]]
            return next((known for known in found if known.rpartition(".")[0] == section), found[0])
    return None
