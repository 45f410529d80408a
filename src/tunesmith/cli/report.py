"""`tunesmith report RUN`: write the report of an earlier run again, in today's form."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.console import print_json, print_lines
from tunesmith.cli.progress import open_listener


def report(
    run: Annotated[str, typer.Argument(help="Run id (or its first characters), or run folder.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: the run's own).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a run's report again from its stored records, in the form of this version."""
    from tunesmith.workflow.report import render_report

    with open_listener() as listener:
        paths = render_report(run, to, listener)
    if json:
        print_json({path.suffix.removeprefix("."): str(path) for path in paths})
    else:
        print_lines(*map(str, paths))
