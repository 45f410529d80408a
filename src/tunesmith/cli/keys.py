"""`tunesmith keys [WORD]`: every key of a recipe by group, with its flag, its default and the
allowed values; `--schema` prints the JSON schema of a recipe.
"""

from typing import Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.errors import UsageError


def list_keys(
    word: Annotated[
        str | None, typer.Argument(help="Show only keys that contain this word, or one group.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a recipe, for editors.")
    ] = False,
) -> None:
    """List the keys of a recipe by group, with the flags that set them."""
    from tunesmith.cli.recipe_flags import get_flag, suggest_flag
    from tunesmith.recipe.key_aliases import find_own_key
    from tunesmith.recipe.recipe_keys import build_json_schema, describe_groups

    if schema:
        print_json(build_json_schema())
        return
    groups = describe_groups()
    if word is not None and (ours := find_own_key(word)) is not None and ours.key:
        word = ours.key  # the name that another tool uses
    search = {
        name: [
            key
            for key in keys
            if word is None or name == word or word.replace("-", "_") in key.path
        ]
        for name, (_, keys) in groups.items()
    }
    if not any(search.values()):
        raise UsageError(
            "no-such-key",
            f"no recipe key contains {word!r}",
            got=f"groups: {', '.join(groups)}",
            hint=suggest_flag(f"--{word}", ()) or "list all keys with tunesmith keys",
        )
    if json:
        listed = [
            {
                "key": key.path,
                "flag": get_flag(key.path),
                "default": key.default,
                "allowed": key.allowed,
                "description": key.description,
            }
            for keys in search.values()
            for key in keys
        ]
        print_json({"keys": listed})
        return
    for name, keys in search.items():
        if not keys:
            continue
        print_lines(f"{name}: {groups[name][0]}")
        print_table(
            ("key", "flag", "default", "allowed", "description"),
            [
                (key.path, get_flag(key.path), key.default, key.allowed, key.description)
                for key in keys
            ],
        )
        print_lines("")
    print_lines(
        "in a recipe file the last part of a key goes below its group; --set KEY=VALUE sets any key"
    )
    print_next_command("decide", "--help")
