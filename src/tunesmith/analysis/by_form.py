"""Errors of form: the answer cannot be right, whatever it says. More examples help little there; a constraint does."""

from collections.abc import Callable, Sequence

from tunesmith.analysis.by_field import is_no_json
from tunesmith.analysis.by_labels import named_no_label
from tunesmith.analysis.cases import Case, Cases
from tunesmith.analysis.found import Found

NO_LABEL, NO_JSON, CUT = "no label named", "not JSON", "cut at the token limit"


def by_form(cases: Cases, scorers: Sequence[str], train_answers: Sequence[str]) -> list[Found]:
    """The kinds of bad form that occur, most errors first; each wrong answer is in one of them at most."""
    cut = [case for case in cases.wrong if not case.answer.finished]
    whole = {case.example.id for case in cases.wrong if case.answer.finished}
    others: dict[str, tuple[str, Callable[[], list[Case]]]] = {
        "label": (NO_LABEL, lambda: named_no_label(cases, train_answers)),
        "json": (NO_JSON, lambda: [case for case in cases.wrong if is_no_json(case)]),
    }
    kinds = [(CUT, cut)]
    for name, pick in (others[scorer] for scorer in scorers if scorer in others):
        kinds.append((name, [case for case in pick() if case.example.id in whole]))
    found = [
        Found("form", name, (name,), tuple((case, case.loss) for case in hits), len(cases.answered), None)
        for name, hits in kinds
        if hits
    ]
    return sorted(found, key=lambda one: (-len(one.hits), one.name))
