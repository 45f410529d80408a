"""`tunesmith compare RUN RUN`: what changed between two runs, and whether it is significant.
Several runs of one recipe with different seeds: how much they differ.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.console import print_json, print_lines, print_next_command, print_table

if TYPE_CHECKING:
    from tunesmith.records import RunComparison, ScoreChange, SeedComparison


def compare(
    first: Annotated[str, typer.Argument(help="Run id (or its first characters), or run folder.")],
    second: Annotated[str, typer.Argument(help="Run to compare with the first.")],
    more: Annotated[
        list[str] | None, typer.Argument(help="Further runs that differ only in their seed.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare two runs: recipe, data, model, versions and the scores of the contenders.

    With three or more runs that differ only in their seed: the variance between seeds.
    """
    from tunesmith.workflow.compare import compare as compare_two
    from tunesmith.workflow.compare import compare_seed_runs

    if more:
        seeds = compare_seed_runs([first, second, *more])
        print_json(seeds.model_dump(mode="json")) if json else _print_seeds(seeds)
        return
    comparison = compare_two(first, second)
    if json:
        print_json(comparison.model_dump(mode="json"))
        return
    print_lines(f"first  {comparison.first}", f"second {comparison.second}", "")
    _print_changes(comparison)
    _print_scores(comparison)
    for note in comparison.notes:
        print_lines(note)
    print_next_command("show", second)


def _print_seeds(comparison: "SeedComparison") -> None:
    numbers = ", ".join(map(str, comparison.seeds))
    print_lines(
        f"{len(comparison.runs)} runs of one recipe, seeds {numbers}; {comparison.metric}, %", ""
    )
    rows = [
        (
            one.contender,
            " ".join(f"{100 * score:.1f}" for score in one.scores),
            f"{100 * one.mean.value:.1f}",
            f"{100 * one.standard_deviation:.1f}",
            f"{100 * one.mean.low:.1f} to {100 * one.mean.high:.1f}",
        )
        for one in comparison.contenders
    ]
    print_table(
        ("contender", "score per seed", "mean", "std over seeds", "95 % interval of the mean"),
        rows,
        right=(2, 3, 4),
    )
    print_lines("", *comparison.notes)
    print_next_command("show", comparison.runs[-1])


def _print_changes(comparison: "RunComparison") -> None:
    rows = [
        (part, change.key, change.first, change.second)
        for part in ("recipe", "data", "model", "versions", "training")
        for change in getattr(comparison, part)
    ]
    if rows:
        print_table(("changed", "key", "first", "second"), rows)
    else:
        print_lines("no changes: same recipe, data, model and versions")
    print_lines("")


def _print_scores(comparison: "RunComparison") -> None:
    if comparison.scores:
        columns = (
            "contender",
            "first",
            "second",
            f"change of {comparison.metric}, points",
            "95 % interval",
            "p",
            "",
        )
        print_table(columns, [_build_row(one) for one in comparison.scores], right=(1, 2, 3, 4, 5))
        print_lines("")
        for one in comparison.scores:
            print_lines(f"{one.contender}: {_format_details(one)}")
    for run, names in zip(("first", "second"), comparison.only_in, strict=True):
        if names:
            print_lines(f"only in the {run} run: {', '.join(names)}")
    for name, spread in comparison.seed_standard_deviation.items():
        print_lines(
            f"seed variance of {name}: standard deviation about {100 * spread:.1f} points (two "
            "seeds)"
        )


def _build_row(one: "ScoreChange") -> tuple[str, ...]:
    change = one.difference
    return (
        one.contender,
        f"{100 * one.first.value:.1f} %",
        f"{100 * one.second.value:.1f} %",
        f"{100 * change.value:+.1f}",
        f"{100 * change.low:+.1f} to {100 * change.high:+.1f}",
        "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
        "significant" if one.is_significant else "not significant",
    )


def _format_details(one: "ScoreChange") -> str:
    changed = (
        f"; {len(one.gained):,} better, {len(one.lost or ()):,} worse"
        if one.gained is not None
        else ""
    )
    seconds = " -> ".join(
        "unknown" if one is None else f"{one:.3g} s" for one in one.seconds_per_request
    )
    usd = " -> ".join("unknown" if one is None else f"${one:.3g}" for one in one.usd_per_1000)
    return f"{one.method}{changed}; time per request {seconds}; cost per 1,000 requests {usd}"
