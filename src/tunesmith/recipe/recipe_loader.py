"""A YAML file, a preset's name or nothing, plus `a.b=c` overrides, becomes a `Recipe`.

Nothing is ignored: an unknown key anywhere is an error that names the nearest known one (ignored
keys are the silent failure of other tools), a number in quotes is not a number, and all problems
are reported together. Paths inside a recipe are relative to the working directory of the command,
as on the command line.
"""

import os.path
import reprlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from pydantic import ValidationError

from tunesmith.atomic_io import open_regular_file
from tunesmith.errors import RecipeError
from tunesmith.recipe.old_keys import read_old_keys
from tunesmith.recipe.recipe_keys import get_known_keys, is_section, is_text_key, suggest_key
from tunesmith.recipe.recipe_yaml import parse_yaml
from tunesmith.recipe.validate import check_recipe
from tunesmith.records import Recipe, Record

PRESETS_FOLDER = Path(__file__).parent / "presets"
_MAX_BYTES = 1_000_000
Tree = dict[str, Any]
"""A recipe before it is checked: its keys, sections as dictionaries."""


class OldKeyWarning(FutureWarning):
    """A recipe file has keys of an earlier version: they are read, the message names today's."""


class _RecipeProblem(NamedTuple):
    slug: str
    key: str
    got: str
    hint: str


def load_recipe(
    source: str | Path | Recipe | Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    is_stored: bool = False,
) -> Recipe:
    """The recipe from a file, a preset's name, another recipe, a mapping of its keys, or the
    defaults (None), with overrides on top.

    Overrides are `["training.epochs=2"]`, or a mapping with keys as in a file or with dots:
    `{"training": {"epochs": 2}}`, `{"training.epochs": 2}`, `{"training": TrainingRecipe(...)}`.

    A file with keys of an earlier version is read with an `OldKeyWarning`; without one if
    `is_stored`: then tunesmith wrote it, into a run's folder.

    Errors: `RecipeError` with all unknown keys and wrong values together, or else all
    contradictions together.
    """
    tree, where = _read_source(source)
    tree, renamed = read_old_keys(tree) if isinstance(source, str | Path) else (tree, {})
    if renamed and not is_stored:
        pairs = "; ".join(f"{old} is now {new}" for old, new in renamed.items())
        text = f"{where} has keys of an earlier version: {pairs}"
        warnings.warn(text, OldKeyWarning, stacklevel=2)
    # `training:` with all keys commented out parses as None and means an empty section.
    tree = {key: {} if value is None and is_section(key) else value for key, value in tree.items()}
    assignments = _list_assignments(overrides)
    for key, value in assignments:
        _set_key(tree, key, value)
    _drop_overridden_duration(tree, {key for key, _ in assignments})
    try:
        # Strict: "16" and `true` are not numbers. Integers are accepted for decimals.
        recipe = Recipe.model_validate(tree, strict=True)
    except ValidationError as error:
        raise _build_recipe_error(_list_problems(error), where) from None
    check_recipe(recipe, where)
    return recipe


def _read_source(source: str | Path | Recipe | Mapping[str, Any] | None) -> tuple[Tree, str]:
    """(the keys that the source sets, where they are from)."""
    if isinstance(source, str | Path):
        path = _find_file(source)
        return _read_file(path), str(path)
    tree: Tree = {}
    # a recipe's own defaults stay open: they may still be filled in
    keys = source.model_dump(exclude_unset=True) if isinstance(source, Recipe) else source
    for key, value in _list_assignments(keys or {}):
        _set_key(tree, key, value)
    return tree, "recipe"


def list_presets() -> list[str]:
    """Names of the recipes that ship with tunesmith."""
    return sorted(path.stem for path in PRESETS_FOLDER.glob("*.yaml"))


def _find_file(source: str | Path) -> Path:
    path = Path(source)
    if isinstance(source, str) and source in list_presets():
        return PRESETS_FOLDER / f"{source}.yaml"
    if (
        isinstance(source, Path)
        or path.suffix in (".yaml", ".yml")
        or "/" in source
        or os.path.exists(path)
    ):
        return path
    near = get_close_matches(source, list_presets(), n=1)
    raise RecipeError(
        "no-such-preset",
        f"no preset or file named {reprlib.repr(source)}",
        got=f"presets: {', '.join(list_presets())}",
        hint=f"did you mean {near[0]}?"
        if near
        else "pass the name of a preset or the path of a YAML file",
    )


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with open_regular_file(path) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise RecipeError(
                "too-large", "file is too large for a recipe", at=str(path), hint="check the path"
            )
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            "not-text",
            "recipe is not UTF-8",
            at=f"{path} byte {error.start}",
            hint="save it as UTF-8",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        found = getattr(error, "strerror", None) or str(error)
        raise RecipeError(
            "unreadable",
            "cannot read the recipe",
            at=str(path)[:200],
            got=found,
            hint="check the path",
        ) from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict) or not tree:
        raise RecipeError(
            "not-a-recipe",
            "recipe is not a list of `key: value` lines",
            at=str(path),
            got="nothing" if tree is None or tree == {} else reprlib.repr(tree),
            hint="start from `model: smollm2-135m-instruct`; or name a preset",
        )
    return tree


def _list_assignments(overrides: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(dotted key, value) of each override, in their order."""
    if isinstance(overrides, Mapping):
        return list(_flatten(overrides, ""))
    if isinstance(overrides, str):  # its letters would be taken for overrides
        overrides = [overrides]
    return [_parse_override(override) for override in overrides]


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        inner = value.model_dump(exclude_unset=True) if isinstance(value, Record) else value
        if isinstance(inner, Mapping) and is_section(key):
            yield from _flatten(inner, f"{key}.")
        else:
            yield key, str(inner) if isinstance(inner, PurePath) else inner


def _parse_override(override: str) -> tuple[str, Any]:
    """The key and value of `a.b=c`."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise RecipeError(
            "not-an-override",
            "override is not KEY=VALUE",
            got=reprlib.repr(override),
            hint="write, for example, training.epochs=2",
        )
    return key.strip(), _parse_value(key.strip(), text)


def _set_key(tree: Tree, key: str, value: Any) -> None:
    """Set one dotted key in the tree; an unknown one is reported later, with all other problems."""
    *sections, last = key.split(".")
    for section in sections:
        inner = tree.get(section)
        # Chained assignment runs left to right: the copy is stored in the outer tree first, then
        # becomes the current one.
        tree[section] = tree = dict(inner) if isinstance(inner, dict) else {}
    tree[last] = value


DURATION_KEYS = ("training.epochs", "training.minutes")
"""The two ways to set the length of a training."""


def _drop_overridden_duration(tree: Tree, named: set[str]) -> None:
    """A duration on the command line replaces the other one of a file or preset; two on the command
    line contradict.
    """
    training = tree.get("training")
    if not isinstance(training, dict) or named.issuperset(DURATION_KEYS):
        return
    for mine, other in (DURATION_KEYS, DURATION_KEYS[::-1]):
        if mine in named and training.get(mine.rpartition(".")[2]) is not None:
            training.pop(other.rpartition(".")[2], None)


def _parse_value(key: str, text: str) -> Any:
    """The value of an override. Text fields take it literally (a path may contain `#` or consist of
    digits).
    """
    is_plain_text = (
        is_text_key(key) and text[:1] not in ("'", '"') and text not in ("null", "~", "")
    )
    return text if is_plain_text else parse_yaml(text, f"override {key}")


def _list_problems(error: ValidationError) -> Iterator[_RecipeProblem]:
    for item in error.errors():
        key = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            yield _RecipeProblem("unknown-key", key, "unknown key", suggest_key(key))
        else:
            yield _RecipeProblem(
                "wrong-value",
                key,
                reprlib.repr(item["input"]),
                _describe_allowed(key, item["type"], item["msg"]),
            )


def _describe_allowed(key: str, kind: str, message: str) -> str:
    """The allowed values, from the validator's message."""
    if kind == "model_type":
        inner = next(
            (known for known in get_known_keys() if known.startswith(f"{key}.")), f"{key}.KEY"
        )
        return (
            "write its keys below it, one per line, for example "
            f"{inner.removeprefix(f'{key}.')}: VALUE"
        )
    for said in ("Input should be greater", "Input should be less"):
        message = message.replace(said, said.replace("Input should be", "give a number"))
    return message.replace("Input should be", "give")


def _build_recipe_error(problems: Iterable[_RecipeProblem], at: str) -> RecipeError:
    """One error for all problems; if there are several, each has its own line."""
    listed = sorted(problems)
    slug = listed[0].slug
    if len(listed) == 1:
        (fault,) = listed
        what = (
            f"unknown key {fault.key}"
            if slug == "unknown-key"
            else f"invalid value for {fault.key}"
        )
        return RecipeError(
            slug, what, at=at, got="" if slug == "unknown-key" else fault.got, hint=fault.hint
        )
    lines = "\n".join(f"{fault.key}: {fault.got}; {fault.hint}" for fault in listed)
    do = "fix each key as described above"
    return RecipeError(slug, f"{len(listed)} recipe keys are invalid", at=at, got=lines, hint=do)
