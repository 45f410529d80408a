"""`tunesmith models`: the models that a name can refer to on this machine."""

from typing import Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table


def list_models(
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download the embedded model and the sample data.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the embedded model, cached models, and models of runs."""
    from tunesmith.runs import local_inventory

    if fetch:
        local_inventory.fetch_embedded()
    rows = local_inventory.list_models()
    if json:
        print_json({"models": rows})
        return
    print_table(
        ("model", "kind", "ready", "where"),
        [(r["name"], r["kind"], r["ready"], r["where"]) for r in rows],
    )
    print_lines(
        "",
        "you can also pass a folder with safetensors weights or a hub ID (org/name; pin it "
        "with the recipe key revision)",
    )
    print_next_command("chat", rows[0]["name"])
