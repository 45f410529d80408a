"""`tunesmith runs` and `tunesmith show RUN`: what the store remembers."""

from typing import Annotated

import typer

from tunesmith.cli.output import print_json, print_table, say, say_next


def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the runs, newest first."""
    from tunesmith.workflow.inventory import list_runs as stored_runs

    rows = stored_runs(limit)
    if json:
        print_json({"runs": rows})
        return
    if not rows:
        say("no runs yet")
        say_next("tunesmith demo")
        return
    print_table(
        ("run", "status", "model", "verdict", "folder"),
        [(row["id"], row["status"], row["model"], row["verdict"] or "", row["folder"]) for row in rows],
    )
    say_next(f"tunesmith show {rows[0]['id']}")


def show_run(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, or its folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show one run: what it was given, how it went, what it decided."""
    from tunesmith.workflow.inventory import show_run as stored_run

    details = stored_run(run)
    if json:
        print_json(details)
        return
    head = details["run"]
    say(f"run {head['id']} ({head['status']}), made {head['created'][:16].replace('T', ' ')} UTC", f"folder {details['folder']}")
    say(f"model {head['model']['name']}, data {head['dataset'][:12]}, seed {head['seeds'].get('recipe', 0)}")
    result = head["result"]
    if result:
        say(
            f"training: {result['steps']} steps, {result['seconds']:.0f} s, {result['tokens_trained']:,} tokens trained"
        )
        say(f"kept the adapter of step {result['best_step']}, held-out loss {result['best_validation_loss']}")
    decision = details["decision"]
    if decision:
        say("", f"verdict: {decision['verdict']}", *(f"  - {reason}" for reason in decision["reasons"]))
    if details["artifacts"]:
        say("")
        print_table(("kind", "bytes", "path"), [(a["kind"], a["size_bytes"], a["path"]) for a in details["artifacts"]])
    say_next(f"tunesmith chat {details['folder']}")
