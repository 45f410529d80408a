"""`tunesmith resume RUN`: continue a run that was interrupted, killed, or failed, to the end of its
command.
"""

from typing import Annotated

import typer

from tunesmith.cli.console import print_next_command
from tunesmith.cli.decide import print_result
from tunesmith.cli.evaluate import print_evaluation
from tunesmith.cli.progress import open_listener
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
    from tunesmith.workflow.model_evaluation import EvaluationResult
    from tunesmith.workflow.resume import resume as resume_run

    with open_listener() as listener:
        ended = resume_run(run, allow_drift=allow_drift, listener=listener)
    if isinstance(ended, tuple):
        finished, folder = ended
        print_training_result(finished, folder.path, json)
    elif isinstance(ended, EvaluationResult):
        print_evaluation(ended.evaluation, ended.folder.path, json)
        if not json:
            print_next_command("show", ended.folder.path)
    else:
        print_result(ended, json)
