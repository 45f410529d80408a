"""Registries of parts: one for each extension point, used by built-in parts and plugins alike.

A built-in part is named by a string, `module:attribute`, and imported on first use, so that a
registry is cheap to import. A plugin is a Python package with an entry point in the registry's
group:

    [project.entry-points."tunesmith.scorers"]
    word-overlap = "my_package.word_overlap:WordOverlapScorer"

Entry points are read only for a name that is not built in, and where names are listed. Source of
the idea: simonw/llm, `llm/hookspecs.py`; of the mechanism: packaging.python.org, "Entry points
specification".
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tunesmith.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Part = TypeVar("Part")
_GUIDE = "see docs/guide/plugins.md"


class Registry(Generic[Part]):
    """The parts of one extension point, by name.

    `group` is the entry points' group and `kind` the word for such a part in messages. A built-in
    is an import string, or the part itself if it imports nothing. A part is an instance of
    `part_type`; by default it is callable.
    """

    def __init__(
        self,
        group: str,
        kind: str,
        builtins: Mapping[str, "str | Part"],
        part_type: type = Callable,  # type: ignore[assignment]  # an abstract class, which mypy holds for a form
    ) -> None:
        self.group, self.kind, self.builtins, self._part_type = (
            group,
            kind,
            dict(builtins),
            part_type,
        )

    def __contains__(self, name: object) -> bool:
        return name in self.builtins or name in self._find_entry_points()

    def __iter__(self) -> Iterator[str]:
        """All names: the built-in ones in their order, then those of plugins."""
        return iter((*self.builtins, *self._find_entry_points()))

    def load(self, name: str) -> Part:
        """The part of this name. Errors: `PluginError` for an unknown name and for a plugin that
        cannot be used.
        """
        if name in self.builtins:
            builtin: Any = self.builtins[name]
            return cast(Part, import_string(builtin) if isinstance(builtin, str) else builtin)
        plugins = self._find_entry_points()
        if name not in plugins:
            raise self._make_unknown_error(name, (*self.builtins, *plugins))
        try:
            part: Any = plugins[name].load()
        # importing a plugin runs third-party code, which may raise anything
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise self._make_error(
                "import-failed", "cannot be imported", plugins[name], found
            ) from error
        if not isinstance(part, self._part_type):
            raise self._make_error(
                "wrong-kind", f"is not a {self.kind}", plugins[name], f"a {type(part).__name__}"
            )
        return cast(Part, part)

    def check_part(self, name: str, part: object, members: tuple[str, ...]) -> None:
        """Check that an object from a plugin has these members. Errors: `PluginError`. Built-in
        parts have tests for that.
        """
        missing = [member for member in members if not hasattr(part, member)]
        if missing and name not in self.builtins:
            self.reject(name, f"{type(part).__name__} has no {', '.join(missing)}")

    def import_part(self, name: str, text: str) -> Any:
        """Import what a part names by an import string. Errors: `PluginError` if a plugin's does
        not exist.
        """
        if name in self.builtins:
            return import_string(text)
        try:
            return import_string(text)
        except Exception as error:  # as in `load`
            found = f"{text}: {type(error).__name__}: {error}"
            raise self._make_error(
                "import-failed", "cannot be imported", self._find_entry_points()[name], found
            ) from error

    def reject(self, name: str, got: str) -> None:
        """Raise `PluginError`: what the plugin of this name provides does not fit the extension
        point.
        """
        raise self._make_error(
            "wrong-kind", f"is not a {self.kind}", self._find_entry_points()[name], got
        )

    def _find_entry_points(self) -> "dict[str, EntryPoint]":
        found: dict[str, EntryPoint] = {}
        for point in _read_entry_points(self.group, tuple(sys.path)):
            taken = found.get(point.name)
            if point.name in self.builtins or (taken and taken.value != point.value):
                owner = _describe(taken) if taken else "tunesmith itself"
                raise self._make_error(
                    "name-taken", f"has the name of another {self.kind}", point, owner
                )
            found[point.name] = point
        return found

    def _make_error(self, slug: str, what: str, point: "EntryPoint", got: str) -> PluginError:
        at = f"{_describe(point)} in {self.group}"
        return PluginError(
            slug, f"plugin {what}", at=at, got=got, hint=f"{_GUIDE}, or uninstall it"
        )

    def _make_unknown_error(self, name: str, known: tuple[str, ...]) -> PluginError:
        near = get_close_matches(name, known, n=3, cutoff=0.4)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"use one of these; or add one: {_GUIDE}"
        )
        what = f"unknown {self.kind} {name!r}"
        return PluginError("unknown-name", what, got=f"known: {', '.join(known)}", hint=hint)


def import_string(text: str) -> Any:
    """The object that `module:attribute` or `module:Class.method` names."""
    module, _, attribute = text.partition(":")
    return attrgetter(attribute)(import_module(module))


@lru_cache(maxsize=64)
def _read_entry_points(group: str, path: tuple[str, ...]) -> "tuple[EntryPoint, ...]":
    """The entry points of all packages on this path, in a deterministic order.

    Reading a folder of data queries them for every file, so the result is cached; `path` is part of
    the key because it determines what is installed.
    """
    from importlib.metadata import entry_points  # imported late: built-in names do not need it

    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))


def _describe(point: "EntryPoint") -> str:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"{point.name} = {point.value}{package}"
