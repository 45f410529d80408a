"""Errors of form: the answer cannot be right, whatever its content. More examples help little
there; an output constraint does.
"""

from collections.abc import Callable, Sequence

from tunesmith.analysis.by_field import is_invalid_json
from tunesmith.analysis.by_label import select_without_label
from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.scored_examples import ScoredExample, ScoredExamples
from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.tool_call_format import find_calls, has_calls

NO_LABEL, NO_JSON, TRUNCATED = "no known label", "invalid JSON", "cut at the token limit"
NO_CALL = "no readable tool call"


def group_by_format(
    cases: ScoredExamples, scorers: Sequence[str], train_answers: Sequence[str]
) -> list[ErrorCluster]:
    """The kinds of malformed answers that occur, most errors first; each wrong answer is in at most
    one of them.
    """
    # Truncation first: a truncated answer is usually also invalid JSON, but a constraint would not
    # fix it.
    cut = [case for case in cases.wrong if not case.answer.is_complete]
    whole = {case.example.id for case in cases.wrong if case.answer.is_complete}
    others: dict[str, tuple[str, Callable[[], list[ScoredExample]]]] = {
        "label": (NO_LABEL, lambda: select_without_label(cases, train_answers)),
        "json": (NO_JSON, lambda: [case for case in cases.wrong if is_invalid_json(case)]),
        "tool_calls": (NO_CALL, lambda: [case for case in cases.wrong if lacks_call(case)]),
    }
    kinds = [(TRUNCATED, cut)]
    for name, pick in (others[scorer] for scorer in scorers if scorer in others):
        kinds.append((name, [case for case in pick() if case.example.id in whole]))
    clusters = [
        ErrorCluster(
            "form",
            name,
            (name,),
            tuple((case, case.loss) for case in hits),
            len(cases.answered),
            None,
        )
        for name, hits in kinds
        if hits
    ]
    return sorted(clusters, key=lambda one: (-len(one.errors), one.name))


def lacks_call(case: ScoredExample) -> bool:
    """Whether the reference calls a tool and no call can be read in the answer."""
    found = find_calls(extract_final_answer(case.answer.text))
    return has_calls(case.example.answer) and (found.is_broken or not found.functions)
