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
        typer.Argument(help="Run id (or its first characters), run folder, or adapter folder."),
    ],
    to: Annotated[Path, typer.Option(help="Output folder; it must not exist yet.")],
    contender: Annotated[
        str | None,
        typer.Option(help="Contender of the run to export (default: the winner)."),
    ] = None,
    format: Annotated[
        str,
        typer.Option(help="bundle, adapter (PEFT's format, no base model), or a plugin's."),
    ] = "bundle",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export the winner of a run as a folder that runs without tunesmith.

    The answers of the export are verified. The adapter of a tuned winner is merged into the
    base model and saved as a standalone model. Every export has prompt.json, answer.py, a
    README.md and, for retrieval, the search index.
    """
    from tunesmith.workflow.export import export as export_run

    with open_listener() as listener:
        exported = export_run(run, to, contender, listener, format)
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
    computed = f"; model dtype {exported.dtype}" if exported.dtype else ""
    print_lines(f"wrote {to}" + (f", {exported.dtype}" if exported.merge else computed))
    if exported.merge is not None:
        _print_merge_proof(exported.merge)
    if exported.sampling:
        print_lines(
            f"generation_config.json sets {', '.join(exported.sampling)}, which servers use by "
            "default; the measured answers are greedy: send requests with temperature 0 and "
            "no penalties"
        )
    _print_answers_proof(exported)


def _print_merge_proof(proof: "MergeProof") -> None:
    print_lines(
        "verified: maximum log-probability difference "
        f"{max(proof.merge_error, proof.reload_error):.1e} nats at {proof.positions:,} positions"
        " of "
        f"{proof.probes} prompts (tolerance {proof.tolerance:.0e}"
        + (
            f"; effect of the adapter up to {proof.adapter_shift:.2g})"
            if proof.adapter_shift is not None
            else ")"
        )
    )
    if proof.from_four_bits:
        print_lines(
            "merged into the dequantized 4-bit weights, which were used in training, not into "
            "the original weights"
        )
    unmerged = proof.bf16_changed_token_fraction_unmerged
    print_lines(
        f"in bfloat16 the most likely token differs at {proof.bf16_changed_token_fraction:.1%} of"
        " the "
        "positions"
        + (f"; with an unmerged adapter at {unmerged:.1%}" if unmerged is not None else "")
    )


def _print_answers_proof(exported: "ExportResult") -> None:
    answers = exported.answers
    if answers is None:
        print_next_command("chat", exported.folder)
        return
    print_lines(f"verified: {answers.sentence}")
    if answers.mismatches:
        print_lines("answers_proof.json lists the differences")
    # A folder name may contain spaces or quotes.
    program = shlex.quote(str(exported.folder / "answer.py"))
    print_lines(f"next: echo 'your question' | python {escape_control_characters(program)}")
