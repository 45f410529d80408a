"""Every key of a recipe is a flag too, under its last name: `--min-gain 0.02` says `--set bar.min_gain=0.02`.

So the commands declare few flags and nothing has to be learned twice. A flag that a command declares is its own. The
unit at the end of a name may be left out (`--max-latency 2`), a yes-or-no key needs no value (`--strict`), a list grows
with every flag (`--answers a.csv --answers b.csv`). What means two keys is refused, what means none is left to the
parser, which says that there is no such option.
"""

from collections.abc import Collection, Iterator, Sequence
from json import dumps
from typing import Any, get_args, get_origin

from tunesmith.errors import UsageError

_UNITS = ("_seconds",)


def with_recipe_flags(words: Sequence[str], declared: Collection[str]) -> list[str]:
    """The command line with flags that name recipe keys turned into `--set KEY=VALUE`.

    Errors: `UsageError` for a flag that means several keys or lacks its value.
    """
    if not any(_is_foreign(word, declared) for word in words):
        return list(words)
    rest: list[str] = []
    given: dict[str, list[str]] = {}
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            return [*rest, *_overrides(given), word, *waiting]
        key = _key_of(word, declared)
        if key is None:
            rest.append(word)
            continue
        given.setdefault(key, []).append(_value_of(word, key, waiting))
    return [*rest, *_overrides(given)]


def _is_foreign(word: str, declared: Collection[str]) -> bool:
    return word.startswith("--") and len(word) > 2 and word.partition("=")[0] not in declared


def _key_of(word: str, declared: Collection[str]) -> str | None:
    """The recipe key that a flag names, None when it names none."""
    from tunesmith.recipe.keys import is_section, known_keys

    if not _is_foreign(word, declared):
        return None
    name = word.partition("=")[0].removeprefix("--").replace("-", "_")
    spelled = {name, *(f"{name}{unit}" for unit in _UNITS)}
    keys = [key for key in known_keys() if key.rpartition(".")[2] in spelled and not is_section(key)]
    if len(keys) > 1:
        raise UsageError(
            "two-keys", f"{word.partition('=')[0]} may mean several keys of a recipe.", found=", ".join(keys),
            do=f"write --set {keys[0]}=VALUE",
        )  # fmt: skip
    return keys[0] if keys else None


def _value_of(word: str, key: str, waiting: Iterator[str]) -> str:
    from tunesmith.recipe.keys import known_keys

    flag, equals, value = word.partition("=")
    if equals:
        return value
    if known_keys()[key] is bool:
        return "true"
    found = next(waiting, None)
    if found is None or found.startswith("--"):
        raise UsageError("arguments", f"{flag} needs a value.", found=found or "nothing after it", do=f"{flag} VALUE")
    return found


def _overrides(given: dict[str, list[str]]) -> list[str]:
    from tunesmith.recipe.keys import known_keys

    words: list[str] = []
    for key, values in given.items():
        text = dumps(values) if _is_list(known_keys()[key]) else values[-1]
        words += ["--set", f"{key}={text}"]
    return words


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(get_origin(part) is tuple for part in get_args(kind))
