"""YAML of other tools, read safely: plain values only, no alias, no key twice, words as in YAML 1.2 (`no` is a text).

`recipe/text.py` reads recipes by the same rules; rooms beside each other do not import one another.
Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from pathlib import Path
from typing import Any

import yaml

from tunesmith.errors import DataError

LARGEST_BYTES = 8 * 2**20
_WORDS: tuple[tuple[str, str, list[str]], ...] = (
    ("null", r"^(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", [*"-+0123456789"]),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", [*"-+.0123456789"]),
)


class _Reader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few nested aliases can spell a gigabyte
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read", problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float)) or key in seen:
                problem = f"the key {str(key)[:40]!r} stands twice or is not a word"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in _WORDS:
    _Reader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_yaml(path: Path) -> Any:
    """The value that a YAML file spells. Errors: `DataError` (`data/not-yaml`) with the line."""
    place, found = str(path), ""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            found = f"{path.stat().st_size / 2**20:,.0f} MiB; at most {LARGEST_BYTES // 2**20} are read"
        else:
            return _Reader(path.read_text(encoding="utf-8-sig")).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path} line {mark.line + 1}" if mark else place
        found = error.problem or error.context or "not YAML"
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: not UTF-8, or a number of 5,000 digits
        found = str(error).splitlines()[0] if isinstance(error, yaml.YAMLError) else type(error).__name__
    except OSError as error:
        found = error.strerror or str(error)
    raise DataError("not-yaml", "This file cannot be read as YAML.", where=place, found=found, do="mend that line")
