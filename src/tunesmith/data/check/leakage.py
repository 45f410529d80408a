"""Held-out questions in the training data; `contamination.py` defines them and what a run does.

The severity follows the run: what stops one is an error here, similarity is a warning in both.
"""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.contamination import find_contaminated_training, shorten_question
from tunesmith.records import ContaminationKind, Problem, Severity

MAX_SHOWN_PAIRS = 2


def check_leakage(context: CheckContext) -> Iterator[Problem]:
    """Compare train with a separate test file, and with the declared splits of a folder."""
    sides = context.loaded.declared_splits
    if sides is None and context.test is None:
        return
    sides = sides or ["train"] * len(context.examples)
    train = [i for i, side in enumerate(sides) if side == "train"]
    held_out = [
        example for example, side in zip(context.examples, sides, strict=True) if side != "train"
    ]
    # A separate test file is held out in addition to the splits that the data declares.
    held_out += context.test.examples if context.test else []
    if not held_out:
        return
    found = find_contaminated_training([context.examples[i] for i in train], held_out)

    def select(*wanted: ContaminationKind) -> list[int]:
        return [train[j] for j, (kind, _) in found.items() if kind in wanted]

    def format_pairs(*wanted: ContaminationKind) -> str:
        some = [
            (context.examples[train[j]], held_out[i])
            for j, (kind, i) in found.items()
            if kind in wanted
        ]
        return "; ".join(
            f'{one.named_place} "{shorten_question(one)}" ~ held-out {other.named_place}'
            f' "{shorten_question(other)}"'
            for one, other in some[:MAX_SHOWN_PAIRS]
        )

    severity: Severity = "error" if context.is_contamination_error else "warning"
    yield from context.report_problems(
        "test-leak",
        severity,
        select("exact", "normalised"),
        f"also appear in the held-out data: {format_pairs('exact', 'normalised')}",
        "remove them from one split; a run stops here unless it gets --set"
        " 'data.allow_contamination=[exact, normalised]'",
    )
    yield from context.report_problems(
        "near-test-leak",
        "warning",
        select("13-gram", "near"),
        f"closely match a held-out example: {format_pairs('13-gram', 'near')}",
        "remove real copies from one split; runs do not stop here, and also report the score "
        "without them",
    )
    yield from context.report_problems(
        "group-test-leak",
        severity,
        select("group"),
        f"share a group with a held-out example: {format_pairs('group')}",
        "keep each group in one split; a run stops here unless it gets --set"
        " 'data.allow_contamination=[group]'",
    )
