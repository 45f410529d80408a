"""Every key of a recipe is a flag too, under its last name: `--min-gain 0.02` means `--set
requirements.min_gain=0.02`.

So the commands declare few flags and nothing has to be learned twice. A flag that a command
declares takes precedence. The unit at the end of a name may be omitted (`--max-latency 2`); a
boolean key needs no value (`--fail-on-warning`, `--no-fail-on-warning`, `--fail-on-warning false`);
a list grows with every flag (`--external-answers a.csv --external-answers b.csv`, or
`--target-modules "[q_proj, v_proj]"`); a mapping is written `--columns ours=theirs,...`. An
ambiguous flag is refused, and so is an unknown one, with the flag that was probably meant.
"""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from json import dumps
from typing import Any, Literal, get_args, get_origin

from tunesmith.errors import UsageError

_UNIT_SUFFIXES = ("_seconds",)


def expand_recipe_flags(words: Sequence[str], declared: Collection[str]) -> list[str]:
    """The command line with flags that name recipe keys turned into `--set KEY=VALUE`.

    Errors: `UsageError` for a flag that is ambiguous or unknown, or lacks its value.
    """
    if not any(_is_undeclared(word, declared) for word in words):
        return list(words)
    rest: list[str] = []
    given: dict[str, list[str]] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        # After "--" everything is an argument, so the overrides must come before it.
        if word == "--":
            return [*rest, *_build_overrides(given), word, *waiting]
        if not _is_undeclared(word, declared):
            rest.append(word)
            continue
        key, is_negated = _resolve_key(word, declared)
        given.setdefault(key, []).append("false" if is_negated else _take_value(word, key, waiting))
    return [*rest, *_build_overrides(given)]


def get_flag(key: str) -> str:
    """The flag that sets a key: its last name, or `--set KEY=` if several keys have that name."""
    flag = f"--{key.rpartition('.')[2].replace('_', '-')}"
    return flag if _find_keys(flag) == [key] else f"--set {key}="


def suggest_flag(flag: str, declared: Collection[str], *, with_keys: bool = True) -> str:
    """A replacement for an unknown flag: ours for another tool's name, else the nearest by
    spelling.

    `declared` are the command's own flags, which take precedence; `with_keys`: it accepts recipe
    flags too.
    """
    from tunesmith.recipe.key_aliases import find_own_key
    from tunesmith.recipe.recipe_keys import get_known_keys, is_section

    ours = find_own_key(flag.removeprefix("--"))
    if ours is not None and (with_keys or _format_key(ours.key, declared) in declared):
        meant = [f"did you mean {_format_key(ours.key, declared)}?"] if ours.key else []
        return " ".join([*meant, *([ours.hint] if ours.hint else [])])
    flags = set(declared)
    if with_keys:
        flags |= {get_flag(key) for key in get_known_keys() if not is_section(key)}
        flags |= {
            _build_negated_flag(key) for key, kind in get_known_keys().items() if kind is bool
        }
    near = get_close_matches(flag, sorted(one for one in flags if " " not in one), n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""


def _build_negated_flag(key: str) -> str:
    return f"--no-{key.rpartition('.')[2].replace('_', '-')}"


def _format_key(key: str, declared: Collection[str]) -> str:
    """How a key is set on this command line: by the command's own flag for it if there is one."""
    from tunesmith.recipe.recipe_keys import is_section

    if is_section(key):
        return f"--set {key}.KEY=VALUE"
    own = f"--{key.rpartition('.')[2].replace('_', '-')}"
    return own if own in declared else get_flag(key)


def _is_undeclared(word: str, declared: Collection[str]) -> bool:
    return word.startswith("--") and len(word) > 2 and word.partition("=")[0] not in declared


def _resolve_key(word: str, declared: Collection[str]) -> tuple[str, bool]:
    """The recipe key that a flag names, and whether the flag negates it."""
    from tunesmith.recipe.recipe_keys import get_known_keys

    flag, equals, _ = word.partition("=")
    keys, is_negated = _find_keys(flag), False
    if not keys and flag.startswith("--no-") and not equals:
        keys = [
            key
            for key in _find_keys(f"--{flag.removeprefix('--no-')}")
            if get_known_keys()[key] is bool
        ]
        is_negated = True
    if len(keys) > 1:
        raise UsageError(
            "two-keys",
            f"{flag} matches several recipe keys",
            got=", ".join(keys),
            hint=f"write --set {keys[0]}=VALUE",
        )
    if not keys:
        advice = suggest_flag(flag, declared) or "see --help, and tunesmith keys for recipe keys"
        raise UsageError("arguments", f"unknown flag {flag}", hint=advice)
    return keys[0], is_negated


def _find_keys(flag: str) -> list[str]:
    from tunesmith.recipe.recipe_keys import get_known_keys, is_section

    name = flag.removeprefix("--").replace("-", "_")
    if name in get_known_keys() and not is_section(name):
        return [name]  # a top-level key takes precedence over keys of the same name: --model
    spelled = {name, *(f"{name}{unit}" for unit in _UNIT_SUFFIXES)}
    return [
        key for key in get_known_keys() if key.rpartition(".")[2] in spelled and not is_section(key)
    ]


def _take_value(word: str, key: str, waiting: list[str]) -> str:
    """The value of the flag, removed from the remaining words."""
    from tunesmith.recipe.recipe_keys import get_known_keys

    flag, equals, value = word.partition("=")
    if equals:
        return value
    if get_known_keys()[key] is bool:
        return waiting.pop(0) if waiting and waiting[0] in ("true", "false") else "true"
    if not waiting or waiting[0].startswith("--"):
        got = waiting[0] if waiting else "no value"
        raise UsageError("arguments", f"{flag} needs a value", got=got, hint=f"{flag} VALUE")
    return waiting.pop(0)


def _build_overrides(given: dict[str, list[str]]) -> list[str]:
    from tunesmith.cli.console import parse_columns
    from tunesmith.recipe.recipe_keys import get_known_keys

    words: list[str] = []
    for key, values in given.items():
        kind = get_known_keys()[key]
        if get_origin(kind) is dict:
            text = dumps(parse_columns(",".join(values)))
        else:
            text = dumps(_join_list(kind, values)) if _is_list(kind) else values[-1]
        words += ["--set", f"{key}={text}"]
    return words


def _join_list(kind: Any, values: Sequence[str]) -> str | list[str]:
    """The value of a list's flags: each adds an item, or several as `[a, b]`. A word that stands
    for the whole list (`all-linear`) is passed on alone.
    """
    from tunesmith.yaml_io import load_plain_yaml  # `--help` needs no YAML

    alternatives = () if get_origin(kind) is tuple else get_args(kind)
    words = {word for one in alternatives if get_origin(one) is Literal for word in get_args(one)}
    if len(values) == 1 and values[0] in words:
        return values[0]
    items: list[str] = []
    for value in values:
        is_several = value.startswith("[") and value.endswith("]")
        items += map(str, load_plain_yaml(value)) if is_several else [value]
    return items


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(get_origin(part) is tuple for part in get_args(kind))
