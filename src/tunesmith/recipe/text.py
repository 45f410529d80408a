"""Recipes as YAML text, both ways.

PyYAML follows YAML 1.1, where `1e-3` is a string, `1:30` is ninety and `no` is false. A recipe with such a surprise in
it would train something else than it says, so plain words are read as in YAML 1.2's core schema: null, true, false,
whole numbers, decimal numbers, and everything else is text. Only the safe constructors exist here: no tag of YAML's
builds an object.
Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from typing import Any

import yaml

from tunesmith.errors import RecipeError
from tunesmith.records import Recipe

_WORDS: tuple[tuple[str, str, list[str]], ...] = (  # tag, the words, how they begin ("" is the empty value)
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", [*"-+0123456789"]),
    ("tag:yaml.org,2002:float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", [*"-+.0123456789"]),
)


class _Reader(yaml.SafeLoader):
    """The safe loader with YAML 1.2 words; a repeated key and an alias are errors."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few nested aliases can spell a gigabyte
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not used in recipes", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is not a word", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Writer(yaml.SafeDumper):
    """The safe dumper that quotes what `_Reader` would take for something else."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def represent_str(self, text: str) -> yaml.ScalarNode:
        # PyYAML folds Unicode's rarer line ends as if they were spaces; only double quotes spell them out.
        style = '"' if re.search("[\x85\u2028\u2029]", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Writer.add_representer(str, _Writer.represent_str)
for _tag, _pattern, _first in _WORDS:
    for _class in (_Reader, _Writer):
        _class.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def parse_yaml(text: str, where: str) -> Any:
    """The value that a YAML text spells.

    Errors: `RecipeError` (`recipe/not-yaml`) with the line; also for a key that stands twice.
    """
    try:
        return _Reader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where} line {mark.line + 1}" if mark else where
        found = error.problem or error.context or "not YAML"
    except yaml.YAMLError as error:
        place, found = where, str(error).splitlines()[0]
    except (RecursionError, ValueError) as error:  # thousands of nested brackets; a number of 5,000 digits
        place, found = where, f"not a recipe ({type(error).__name__})"
    raise RecipeError("not-yaml", "This recipe cannot be read as YAML.", where=place, found=found, do="mend that line")


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every field of it; `load_recipe` of this text gives an equal recipe."""
    return yaml.dump(
        recipe.model_dump(mode="json"),
        Dumper=_Writer,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=False,
    )
