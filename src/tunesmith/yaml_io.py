"""YAML as plain values, read safely: no tag builds an object, no alias, no duplicate key, scalars
as in YAML 1.2.

PyYAML follows YAML 1.1, where `1e-3` is a string, `1:30` is ninety and `no` is false. A recipe with
such a surprise would not train what it appears to say, so plain scalars are read as in YAML 1.2's
core schema: null, true, false, integers, decimals, and everything else is text. Source:
https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from typing import Any

import yaml

# tag, pattern, first characters ("" is the empty value)
_CORE_SCHEMA: tuple[tuple[str, str, list[str]], ...] = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", [*"-+0123456789"]),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
        [*"-+.0123456789"],
    ),
)


_ALLOWED_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
}


class InvalidYaml(Exception):
    """A text that cannot be parsed: what was found, and in which line (None: unknown)."""

    def __init__(self, got: str, line: int | None = None) -> None:
        super().__init__(got)
        self.got, self.line = got, line


class _PlainLoader(yaml.SafeLoader):
    """The safe loader with YAML 1.2 scalars; a duplicate key, a key that is not text, an alias, and
    a tag for anything else than plain values are errors.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute
    key_types: tuple[type, ...] = (str,)

    def compose_node(self, parent: Any, index: Any) -> Any:
        # a few nested aliases can expand to a gigabyte ("billion laughs")
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not supported", problem_mark=self.get_mark()
            )
        node = super().compose_node(parent, index)
        if node is not None and node.tag not in _ALLOWED_TAGS:
            raise yaml.MarkedYAMLError(
                problem=f"the tag {node.tag} is not supported", problem_mark=node.start_mark
            )
        if isinstance(node, yaml.ScalarNode) and any(
            "\ud800" <= character <= "\udfff" for character in node.value
        ):
            raise yaml.MarkedYAMLError(problem="a lone surrogate", problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, self.key_types):
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is not a string", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key!r}", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _NumberKeyLoader(_PlainLoader):
    key_types = (str, int, float)


class _PlainDumper(yaml.SafeDumper):
    """The safe dumper that quotes text which `_PlainLoader` would read as something else."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def represent_str(self, text: str) -> yaml.ScalarNode:
        # PyYAML folds Unicode's rarer line separators like spaces; only double quotes escape them.
        style = '"' if re.search("[\x85\u2028\u2029]", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_PlainDumper.add_representer(str, _PlainDumper.represent_str)
for _tag, _pattern, _first in _CORE_SCHEMA:
    for _class in (_PlainLoader, _PlainDumper):
        _class.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def load_plain_yaml(text: str, *, number_keys: bool = False) -> Any:
    """The value of a YAML text; keys are text, with `number_keys` also numbers. Errors:
    `InvalidYaml`.
    """
    try:
        return (_NumberKeyLoader if number_keys else _PlainLoader)(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidYaml(
            error.problem or error.context or "not YAML", mark.line + 1 if mark else None
        ) from None
    except yaml.YAMLError as error:
        raise InvalidYaml(str(error).splitlines()[0]) from None
    # for example thousands of nested brackets, or a number of 5,000 digits
    except (RecursionError, ValueError) as error:
        raise InvalidYaml(f"unreadable ({type(error).__name__})") from None


def dump_plain_yaml(value: Any) -> str:
    """The text that `load_plain_yaml` reads as this value; keys stay in order."""
    text: str = yaml.dump(
        value,
        Dumper=_PlainDumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=False,
    )
    return text
