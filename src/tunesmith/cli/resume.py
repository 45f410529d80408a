"""`tunesmith resume RUN`: continue a run that was interrupted, killed, or failed, to the end of its
command.
"""

from typing import Annotated

import typer

from tunesmith.cli.console import print_next_command
from tunesmith.cli.decide import print_result
from tunesmith.cli.evaluate import print_evaluation
from tunesmith.cli.progress import open_display
from tunesmith.cli.train import print_training_result


def resume(
    run: Annotated[str, typer.Argument(help="Run id (or its first characters), or run folder.")],
    allow_drift: Annotated[
        bool,
        typer.Option(
            "--allow-drift", help="Resume even if versions, threads, model or recipe differ."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Resume an interrupted run to its model, verdict or evaluation.

    The result is the same as without the interruption."""
    from tunesmith.api.commands import resume as resume_run

    with open_display() as display:
        result = resume_run(run, allow_drift=allow_drift, callbacks=[display])
    if result.decision is not None:
        print_result(result, json)
    elif result.evaluation is not None:
        print_evaluation(result, json)
        if not json:
            print_next_command("show", result.path)
    else:
        print_training_result(result.run, result.path, json)
