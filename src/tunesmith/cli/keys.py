"""`tunesmith keys [WORD]`: every key of a recipe by group, with its flag, its default and the
allowed values.
"""

from typing import Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.errors import UsageError


def list_keys(
    word: Annotated[
        str | None, typer.Argument(help="Only keys with this word in them, or a group.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the keys of a recipe by group, with the flags that set them."""
    from tunesmith.cli.recipe_flags import get_flag, suggest_flag
    from tunesmith.recipe.key_aliases import find_own_key
    from tunesmith.recipe.recipe_keys import describe_groups

    groups = describe_groups()
    if word is not None and (ours := find_own_key(word)) is not None and ours.key:
        word = ours.key  # the name that another tool uses
    wanted = {
        name: [
            key
            for key in keys
            if word is None or name == word or word.replace("-", "_") in key.path
        ]
        for name, (_, keys) in groups.items()
    }
    if not any(wanted.values()):
        raise UsageError(
            "no-such-key",
            f"No key of a recipe has {word!r} in it.",
            found=f"groups: {', '.join(groups)}",
            do=suggest_flag(f"--{word}", ()) or "see all keys: tunesmith keys",
        )
    if json:
        listed = [
            {
                "key": key.path,
                "flag": get_flag(key.path),
                "default": key.default,
                "allowed": key.allowed,
            }
            for keys in wanted.values()
            for key in keys
        ]
        print_json({"keys": listed})
        return
    for name, keys in wanted.items():
        if not keys:
            continue
        print_lines(f"{name}: {groups[name][0]}")
        print_table(
            ("key", "flag", "default", "allowed"),
            [(key.path, get_flag(key.path), key.default, key.allowed) for key in keys],
        )
        print_lines("")
    print_lines(
        "in a recipe file the last name stands below its group; --set KEY=VALUE sets any of them"
    )
    print_next_command("decide", "--help")
