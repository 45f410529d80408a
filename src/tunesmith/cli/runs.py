"""`tunesmith runs [FOLDER]` and `tunesmith show RUN`: the runs that the store knows."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.cli.decide import suggest_next_command
from tunesmith.cli.progress import open_listener


def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Runs in this folder or below it.")
    ] = Path("."),
    show_all: Annotated[
        bool, typer.Option("--all", help="Runs in every folder of this machine.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option(min=1, max=10_000, metavar="N", help="Maximum number of runs, newest first."),
    ] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the runs of this folder, newest first."""
    from tunesmith.runs.local_inventory import list_runs as stored_runs

    place = None if show_all else folder.expanduser().absolute()
    rows = stored_runs(limit, place)
    if json:
        print_json({"runs": rows})
    elif rows:
        cells = ("id", "command", "status", "model", "verdict")
        print_table(
            ("run", "command", "status", "model", "verdict", "folder"),
            [(*(row[cell] or "" for cell in cells), _shorten_path(row["folder"])) for row in rows],
        )
        print_next_command("show", rows[0]["id"])
    elif place is not None and stored_runs(1):
        print_lines(f"no runs in {folder}; other folders have some")
        print_next_command("runs", "--all")
    else:
        print_lines("no runs yet")
        print_next_command("demo")


def _shorten_path(folder: str) -> str:
    """The path relative to the current folder, if it is below it."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else folder


def show_run(
    run: Annotated[str, typer.Argument(help="Run id (or its first characters), or run folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a run: inputs, training, verdict.

    Exit code 1 if one of its files is damaged."""
    from tunesmith.runs.local_inventory import show_run as stored_run

    with open_listener() as listener:
        details = stored_run(run, listener)
    print_json(details) if json else _print_run(details)
    if details["damaged"]:
        raise typer.Exit(1)


def _print_run(details: dict[str, Any]) -> None:
    from tunesmith.records import TrainingLength

    head = details["run"]
    created = head["created"][:16].replace("T", " ")
    print_lines(
        f"run {head['id']} ({details['status']}), created {created} UTC",
        f"folder {details['folder']}",
    )
    models = (
        f"model {head['model']['name']}"
        if head["model"]
        else f"models {', '.join(head['evaluated_models']) or 'elsewhere'}"
    )
    print_lines(f"{models}, data {head['dataset'][:12]}, seed {head['seeds'].get('recipe', 0)}")
    result = head["result"]
    if result:
        seconds, tokens = (
            f"{result['seconds']:.0f} s",
            f"{result['tokens_trained']:,} tokens trained",
        )
        print_lines(
            f"training: {result['steps']} steps, {seconds}, {tokens}; best checkpoint: step "
            f"{result['best_step']}"
        )
        if result["training_length"]:
            print_lines(
                f"trained for {TrainingLength.model_validate(result['training_length']).summary}"
            )
    if result and result["best_validation_loss"] is not None:
        print_lines(f"validation loss {result['best_validation_loss']:.4f}")
    decision = details["decision"]
    if decision:
        print_lines(
            "",
            f"verdict: {decision['verdict']}",
            *(f"  ! {warning}" for warning in decision["warnings"]),
        )
        print_lines(*(f"  - {reason}" for reason in decision["reasons"]))
    if details["damaged"]:
        print_lines(
            "",
            "damaged files (restore them from a copy, or repeat the run):",
            *(f"  ! {one}" for one in details["damaged"]),
        )
    elif not details["has_checksums"]:
        print_lines("", "created by a version without checksums: damage cannot be detected")
    if details["artifacts"]:
        print_lines("")
        rows = [(a["kind"], f"{a['size_bytes']:,}", a["path"]) for a in details["artifacts"]]
        print_table(("kind", "bytes", "path"), rows, right=(1,))
    is_tuned = any(artifact["kind"] in ("adapter", "model") for artifact in details["artifacts"])
    if details["status"] in ("interrupted", "failed", "killed"):
        print_next_command("resume", details["folder"])
    else:
        used = (
            suggest_next_command(decision["verdict"], decision["winner"], details["folder"])
            if decision
            else None
        )
        print_next_command(*(used or ("chat", details["folder"])) if is_tuned else ("runs",))
