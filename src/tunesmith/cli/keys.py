"""`tunesmith keys [WORD]`: every key of a recipe by group, with its flag, its default and what it may be."""

from typing import Annotated

import typer

from tunesmith.cli.output import print_json, print_table, say, say_next
from tunesmith.errors import UsageError


def list_keys(
    word: Annotated[str | None, typer.Argument(help="Only keys with this word in them, or a group.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the keys of a recipe by group, with the flags that set them."""
    from tunesmith.cli.flags import flag_of, nearest_flag
    from tunesmith.recipe.keys import described_groups
    from tunesmith.recipe.other_tools import find_ours

    groups = described_groups()
    if word is not None and (ours := find_ours(word)) is not None and ours.key:
        word = ours.key  # another tool's name
    wanted = {
        name: [key for key in keys if word is None or name == word or word.replace("-", "_") in key.path]
        for name, (_, keys) in groups.items()
    }
    if not any(wanted.values()):
        raise UsageError(
            "no-such-key", f"No key of a recipe has {word!r} in it.", found=f"groups: {', '.join(groups)}",
            do=nearest_flag(f"--{word}", ()) or "see all keys: tunesmith keys",
        )  # fmt: skip
    if json:
        listed = [
            {"key": key.path, "flag": flag_of(key.path), "default": key.default, "allowed": key.allowed}
            for keys in wanted.values()
            for key in keys
        ]
        print_json({"keys": listed})
        return
    for name, keys in wanted.items():
        if not keys:
            continue
        say(f"{name}: {groups[name][0]}")
        print_table(
            ("key", "flag", "default", "allowed"),
            [(key.path, flag_of(key.path), key.default, key.allowed) for key in keys],
        )
        say("")
    say("in a recipe file the last name stands below its group; --set KEY=VALUE sets any of them")
    say_next("decide", "--help")
