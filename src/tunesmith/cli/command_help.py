"""What `--help` of a command shows: readable placeholders, and the recipe keys that are flags too.

The keys come from the recipe's records, so a new key is in the help on the day it is added; the
records are loaded only when the help of a command that takes a recipe is asked for.
"""

import textwrap
from typing import Any

from typer.core import TyperArgument, TyperCommand

PLACEHOLDERS = {"str": "TEXT", "list[str]": "TEXT", "Path": "PATH", "float": "N", "int": "N"}
"""The name of an option's type -> what stands for its value in the help."""

GROUP_WIDTH = 14


class Command(TyperCommand):
    """A command whose help names values in words and lists the recipe flags by group."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            parameter.metavar = parameter.metavar or _choose_placeholder(parameter)
            if isinstance(parameter, TyperArgument):
                # no "<list[str]>" behind its name
                parameter.display_type_rich = _hide_type  # type: ignore[method-assign]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, then the recipe flags if the command takes a recipe."""
        super().format_options(ctx, formatter)
        declared = {flag for parameter in self.params for flag in parameter.opts}
        if takes_recipe_flags(declared):
            with formatter.section("Recipe flags (tunesmith keys describes them)"):
                for name, flags in _list_flags_by_group(declared).items():
                    formatter.write(_wrap_flags(name, flags, formatter.width))


def takes_recipe_flags(declared: set[str]) -> bool:
    """Whether a command with these flags accepts every recipe key as a flag."""
    return {"--recipe", "--set"} <= declared


def _hide_type(ctx: Any) -> None:
    return None


def _choose_placeholder(parameter: Any) -> str | None:
    if isinstance(parameter, TyperArgument):
        return str(parameter.name).upper()
    return PLACEHOLDERS.get(parameter.bare_type())


def _wrap_flags(name: str, flags: str, width: int) -> str:
    # not by the formatter, which breaks lines at the hyphens of flags
    begin = f"  {name:<{GROUP_WIDTH}}"
    lines = textwrap.wrap(
        flags,
        max(width, 40),
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines) + "\n"


def _list_flags_by_group(declared: set[str]) -> dict[str, str]:
    """Group of keys -> its flags; a key without a flag of its own is written with `--set`."""
    from tunesmith.cli.recipe_flags import get_flag
    from tunesmith.recipe.recipe_keys import describe_groups

    groups: dict[str, str] = {}
    for name, (_, keys) in describe_groups().items():
        flags = [get_flag(key.path) for key in keys]
        listed = [flag for flag in flags if flag not in declared]
        if listed:
            groups[name] = ", ".join(listed)
    return groups
