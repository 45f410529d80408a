"""`tunesmith export RUN --to FOLDER`: the tuned model as an ordinary model folder."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli.output import print_json, say, say_next


def export(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of one, its folder, or an adapter's folder.")],
    to: Annotated[Path, typer.Option(help="The model folder to write; it must not exist yet.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Merge what a run trained into its model, prove that the answers stay the same, and write a model folder."""
    from tunesmith.workflow.export import export as export_run

    proof = export_run(run, to)
    if json:
        print_json({"folder": str(to), "proof": proof.model_dump(mode="json")})
        return
    say(f"wrote {to}, float32")
    say(
        f"proof: on {proof.places:,} places of {proof.probes} prompts no log-probability moved by more than "
        f"{max(proof.merged, proof.read_back):.1e} nats ({proof.tolerance:.0e} is allowed"
        + (f"; the adapter moves them by up to {proof.moved:.2g})" if proof.moved is not None else ")")
    )
    if proof.from_four_bits:
        say("merged onto the values that the 4-bit weights stood for: those were trained on, not the original weights")
    beside = proof.bf16_other_token_beside
    say(
        f"computed in bfloat16 the likeliest token differs at {proof.bf16_other_token:.1%} of the places"
        + (f"; with the adapter beside the model at {beside:.1%}" if beside is not None else "")
    )
    say_next("chat", to)
