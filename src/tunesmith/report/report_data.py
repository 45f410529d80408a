"""The numbers of a report: the document that `decide --json` prints, and the choice of examples to
show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.records import Answer, Comparison, Contender, Evaluation, Example, Record
from tunesmith.report.report_input import ReportInput

MAX_ALL_PAIRS_CONTENDERS = 5
"""Maximum number of contenders for a chart of every pair."""


def build_report_json(content: ReportInput, report: Path) -> dict[str, Any]:
    """The verdict with all of its numbers: the content of `report.json` and of `decide --json`."""
    decision, evaluation = content.decision, content.evaluation
    return {
        "verdict": decision.verdict,
        "winner": decision.winner,
        "reasons": list(decision.reasons),
        "warnings": list(decision.warnings),
        "metric": evaluation.metric,
        "required_test_examples": decision.required_test_examples,
        "contenders": [contender.model_dump(mode="json") for contender in evaluation.contenders],
        "comparisons": [
            comparison.model_dump(mode="json") for comparison in evaluation.comparisons
        ],
        "power": _dump(content.power),
        "leaks": _dump(content.contamination),
        "forgetting": _dump(content.forgetting and content.forgetting.drop),
        "cost": _dump(content.cost),
        "suggestions": (
            [one.text for one in content.analysis.suggestions] if content.analysis else []
        ),
        "run": content.run.id if content.run else None,
        "report": str(report),
    }


def _dump(record: Record | None) -> dict[str, Any] | None:
    return record.model_dump(mode="json") if record is not None else None


def format_split_sizes(content: ReportInput) -> str:
    """The number of examples in each split, and how many of them were used if a limit applied."""
    split, limits = content.split, content.recipe.evaluation
    validation = (
        min(len(split.validation), limits.max_validation_examples)
        if content.run
        else len(split.validation)
    )
    sides = (
        ("train", len(split.train), len(split.train)),
        ("validation", validation, len(split.validation)),
        ("test", len(content.evaluation.examples), len(split.test)),
    )
    sizes = [
        f"{used:,} of {all_:,} {name}" if used < all_ else f"{all_:,} {name}"
        for name, used, all_ in sides
    ]
    return f"{sizes[0]}, {sizes[1]} and {sizes[2]} examples"


@dataclass(frozen=True, slots=True)
class SideBySideExample:
    """One test example with the answers shown side by side, and the score of each (None: no
    answer).
    """

    example: Example
    answers: tuple[tuple[str, Answer, float | None], ...]


def get_primary_score(answer: Answer, metric: str) -> float | None:
    """The answer's score on the deciding metric; if that exists only over all examples, its first
    score.
    """
    if not answer.scores:
        return None
    return answer.scores.get(metric, next(iter(answer.scores.values())))


def find_best(content: ReportInput, *, tuned: bool) -> Contender | None:
    """The best contender with tuned weights, or the best one without. The winner takes
    precedence.
    """
    metric = content.evaluation.metric
    among = [
        contender
        for contender in content.evaluation.contenders
        if contender.traits.is_trained == tuned and metric in contender.metrics
    ]
    winner = content.decision.winner
    return max(among, key=lambda one: (one.name == winner, one.metrics[metric].value), default=None)


def select_shown_contenders(content: ReportInput) -> list[Contender]:
    """The contenders shown side by side: the best baseline and the best tuned one, as far as they
    exist.
    """
    return [
        one
        for one in (find_best(content, tuned=False), find_best(content, tuned=True))
        if one is not None
    ]


def list_metric_names(evaluation: Evaluation) -> list[str]:
    """Every metric of any contender, the deciding one first."""
    return list(
        dict.fromkeys(
            [evaluation.metric, *(name for one in evaluation.contenders for name in one.metrics)]
        )
    )


def find_main_comparison(content: ReportInput) -> Comparison | None:
    """The winner against the user's current system or the simplest contender; against the runner-up
    if it is that itself.
    """
    evaluation, winner = content.evaluation, content.decision.winner
    if winner is None:
        return None
    if content.decision.gain is not None:
        return content.decision.gain
    others = [
        pair if pair.a == winner else reverse_comparison(pair)
        for pair in sort_differences(evaluation)
        if winner in (pair.a, pair.b)
    ]
    return min(others, key=lambda pair: pair.difference, default=None)


def sort_differences(evaluation: Evaluation) -> list[Comparison]:
    """The comparisons on the deciding metric, each with the better one first, largest difference
    first.
    """
    pairs = [pair for pair in evaluation.comparisons if pair.metric == evaluation.metric]
    better_first = [reverse_comparison(pair) if pair.difference < 0 else pair for pair in pairs]
    return sorted(better_first, key=lambda pair: -pair.difference)


def select_differences(evaluation: Evaluation, focus: str | None) -> list[Comparison]:
    """The comparisons that a chart can show: all if there are few contenders, else those of
    `focus`.
    """
    pairs = sort_differences(evaluation)
    if len(evaluation.contenders) <= MAX_ALL_PAIRS_CONTENDERS or focus is None:
        return pairs
    return [pair for pair in pairs if focus in (pair.a, pair.b)]


CORRECTION_NOTE = (
    "Intervals and p-values are for each pair alone. The verdict uses the corrected p-value, "
    "which compares a simpler contender with all more complex ones of other verdicts (Holm's "
    "method)."
)


def collect_corrected_p(content: ReportInput) -> dict[tuple[str, str], float]:
    """The p-value of each pair, in both orders, as the verdict corrects it for multiple
    comparisons.
    """
    metric = content.evaluation.metric
    alone = {
        (one.a, one.b): one.p for one in content.evaluation.comparisons if one.metric == metric
    }
    alone |= {(one.a, one.b): one.p for one in content.decision.pairs}
    compared = {(one.a, one.b) for one in content.decision.pairs}
    alone |= {(one.b, one.a): one.p for one in content.decision.pairs}
    return {
        (b, a): p for (a, b), p in alone.items() if (a, b) not in compared and (b, a) not in alone
    } | alone


def collect_required_examples(content: ReportInput) -> dict[tuple[str, str], int]:
    """The test examples that would separate each pair, in both orders, as the verdict computes
    them.
    """
    needed = [
        (one.a, one.b, one.required_n)
        for one in content.decision.pairs
        if one.required_n is not None
    ]
    return {(a, b): n for a, b, n in needed} | {(b, a): n for a, b, n in needed}


def reverse_comparison(pair: Comparison) -> Comparison:
    """b - a instead of a - b."""
    swapped = {
        "a": pair.b,
        "b": pair.a,
        "difference": -pair.difference,
        "low": -pair.high,
        "high": -pair.low,
    }
    return pair.replace(**swapped)


def choose_focus(content: ReportInput) -> str | None:
    """The contender whose worst answers are shown: the winner, else the best tuned one, else the
    best baseline.
    """
    names = [contender.name for contender in select_shown_contenders(content)]
    if content.decision.winner in names:
        return content.decision.winner
    return names[-1] if names else None


def build_side_by_side_examples(content: ReportInput) -> list[SideBySideExample]:
    """Every test example that all shown contenders answered, in the order of the test set."""
    names = [contender.name for contender in select_shown_contenders(content)]
    if not names:
        return []
    by_example = {
        name: {answer.example: answer for answer in content.answers.get(name, ())} for name in names
    }
    cases = []
    for key in content.evaluation.examples:
        if key in content.examples and all(key in by_example[name] for name in names):
            answers = [by_example[name][key] for name in names]
            scores = [get_primary_score(answer, content.evaluation.metric) for answer in answers]
            cases.append(
                SideBySideExample(
                    content.examples[key], tuple(zip(names, answers, scores, strict=True))
                )
            )
    return cases


def find_worst_examples(content: ReportInput, limit: int = 10) -> list[SideBySideExample]:
    """The examples with the lowest scores of the focus (see `choose_focus`); a missing answer is
    worst. Perfect answers are left out.
    """
    focus = choose_focus(content)

    def get_score(case: SideBySideExample) -> float:
        # A missing answer sorts before a score of 0.
        value = next(get_score for name, _, get_score in case.answers if name == focus)
        return -1.0 if value is None else value

    return sorted(
        (case for case in build_side_by_side_examples(content) if get_score(case) < 1),
        key=get_score,
    )[:limit]


def find_changed_examples(
    content: ReportInput, limit: int = 10
) -> tuple[list[SideBySideExample], list[SideBySideExample]]:
    """The largest changes by tuning: (gained, lost), half of `limit` each, more if the other list
    is shorter.
    """

    def compute_change(case: SideBySideExample) -> float:
        before, after = (0.0 if score is None else score for _, _, score in case.answers)
        return after - before

    if len(select_shown_contenders(content)) < 2:
        return [], []
    ordered = sorted(build_side_by_side_examples(content), key=compute_change)
    lost = [case for case in ordered if compute_change(case) < 0]
    gained = [case for case in reversed(ordered) if compute_change(case) > 0]
    # Whatever one list does not fill is left to the other.
    few_lost = min(len(lost), max(limit // 2, limit - len(gained)))
    return gained[: limit - few_lost], lost[:few_lost]
