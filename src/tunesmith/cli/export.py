"""`tunesmith export RUN --to FOLDER`: the winner of a run as a folder that runs without
tunesmith.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import (
    escape_control_characters,
    print_json,
    print_lines,
    print_next_command,
)
from tunesmith.cli.progress import open_listener

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import MergeProof
    from tunesmith.workflow.export import ExportResult


def export(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's id, the beginning of one, its folder, or an adapter's folder."
        ),
    ],
    to: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")],
    contender: Annotated[
        str | None,
        typer.Option(help="Another contender of the run (default: the winner of its verdict)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the winner of a run as a folder that answers without tunesmith, and verify its answers.

    A tuned winner is merged into its model: an ordinary model folder. With it, or alone for a
    prompt or retrieval: prompt.json, the search index, a short answer.py and a README.md.
    """
    from tunesmith.workflow.export import export as export_run

    with open_listener() as listener:
        exported = export_run(run, to, contender, listener)
    if json:
        print_json(
            {
                "folder": str(to),
                "contender": exported.contender,
                "proof": exported.merge.model_dump(mode="json") if exported.merge else None,
                "answers": exported.answers.model_dump(mode="json") if exported.answers else None,
                "sampling": list(exported.sampling),
            }
        )
        return
    if exported.reason:
        print_lines(exported.reason)
    computed = f"; its model is computed in {exported.dtype}" if exported.dtype else ""
    print_lines(f"wrote {to}" + (f", {exported.dtype}" if exported.merge else computed))
    if exported.merge is not None:
        _print_merge_proof(exported.merge)
    if exported.sampling:
        print_lines(
            f"generation_config.json has {', '.join(exported.sampling)}, by which servers answer"
            " unless they are told otherwise; what was measured is the likeliest answer: ask with"
            " temperature 0 and no penalties"
        )
    _print_answers_proof(exported)


def _print_merge_proof(proof: "MergeProof") -> None:
    print_lines(
        f"proof: on {proof.places:,} places of {proof.probes} prompts no log-probability moved by"
        f" more than {max(proof.merged, proof.read_back):.1e} nats ({proof.tolerance:.0e} is"
        " allowed"
        + (
            f"; the adapter moves them by up to {proof.moved:.2g})"
            if proof.moved is not None
            else ")"
        )
    )
    if proof.from_four_bits:
        print_lines(
            "merged onto the values that the 4-bit weights stood for: those were trained on, not"
            " the original weights"
        )
    beside = proof.bf16_other_token_beside
    print_lines(
        f"computed in bfloat16 the likeliest token differs at {proof.bf16_other_token:.1%} of the"
        " places"
        + (f"; with the adapter beside the model at {beside:.1%}" if beside is not None else "")
    )


def _print_answers_proof(exported: "ExportResult") -> None:
    answers = exported.answers
    if answers is None:
        print_next_command("chat", exported.folder)
        return
    print_lines(f"proof: {answers.sentence}")
    if answers.differing:
        print_lines("answers_proof.json lists those that differ")
    # A folder name may contain spaces or quotes.
    program = shlex.quote(str(exported.folder / "answer.py"))
    print_lines(f"next: echo 'your question' | python {escape_control_characters(program)}")
