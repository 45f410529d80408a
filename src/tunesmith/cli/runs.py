"""`tunesmith runs` and `tunesmith show RUN`: the runs that the store knows."""

from typing import Annotated, Any

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table
from tunesmith.cli.decide import suggest_next_command
from tunesmith.cli.progress import open_listener


def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the runs, newest first."""
    from tunesmith.runs.run_registry import list_runs as stored_runs

    rows = stored_runs(limit)
    if json:
        print_json({"runs": rows})
        return
    if not rows:
        print_lines("no runs yet")
        print_next_command("demo")
        return
    print_table(
        ("run", "status", "model", "verdict", "folder"),
        [
            (row["id"], row["status"], row["model"], row["verdict"] or "", row["folder"])
            for row in rows
        ],
    )
    print_next_command("show", rows[0]["id"])


def show_run(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, or its folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show one run: its inputs, its course, its verdict. Exit 1 when one of its files is
    damaged."""
    from tunesmith.runs.run_registry import show_run as stored_run

    with open_listener() as listener:
        details = stored_run(run, listener)
    print_json(details) if json else _print_run(details)
    if details["damaged"]:
        raise typer.Exit(1)


def _print_run(details: dict[str, Any]) -> None:
    from tunesmith.records import TrainingLength

    head = details["run"]
    made = head["created"][:16].replace("T", " ")
    print_lines(
        f"run {head['id']} ({details['status']}), made {made} UTC", f"folder {details['folder']}"
    )
    print_lines(
        f"model {head['model']['name']}, data {head['dataset'][:12]}, seed"
        f" {head['seeds'].get('recipe', 0)}"
    )
    result = head["result"]
    if result:
        seconds, tokens = (
            f"{result['seconds']:.0f} s",
            f"{result['tokens_trained']:,} tokens trained",
        )
        print_lines(
            f"training: steps {result['steps']}, {seconds}, {tokens}, kept step"
            f" {result['best_step']}"
        )
        if result["extent"]:
            print_lines(f"tuned for {TrainingLength.model_validate(result['extent']).summary}")
    if result and result["best_validation_loss"] is not None:
        print_lines(f"held-out loss {result['best_validation_loss']:.4f}")
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
            "damaged, restore from a copy or make the run again:",
            *(f"  ! {one}" for one in details["damaged"]),
        )
    elif not details["has_checksums"]:
        print_lines("", "made by a version that kept no checksums: damage would not be found")
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
