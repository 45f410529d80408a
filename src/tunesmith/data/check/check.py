"""The door of the checks and the list of all of them."""

from tunesmith.data.check.answers import check_answers
from tunesmith.data.check.context import Check, CheckContext
from tunesmith.data.check.contradictions import check_contradictions
from tunesmith.data.check.control_tokens import check_control_tokens
from tunesmith.data.check.duplicates import check_duplicates
from tunesmith.data.check.labels import check_labels
from tunesmith.data.check.leakage import check_leakage
from tunesmith.data.check.lengths import check_lengths
from tunesmith.data.check.method import check_method
from tunesmith.data.check.near_duplicates import check_near_duplicates
from tunesmith.data.check.pairs import check_pairs
from tunesmith.data.check.roles import check_roles
from tunesmith.data.check.size import check_size
from tunesmith.data.check.template import check_template
from tunesmith.data.check.tools import check_tools
from tunesmith.data.check.vocabulary import check_vocabulary
from tunesmith.data.read.dataset import Loaded
from tunesmith.records import ChatTokenizer, CheckReport, Method, Problem

CHECKS: tuple[Check, ...] = (
    check_answers,
    check_method,
    check_pairs,
    check_roles,
    check_lengths,
    check_vocabulary,
    check_control_tokens,
    check_template,
    check_leakage,
    check_contradictions,
    check_duplicates,
    check_near_duplicates,
    check_labels,
    check_size,
    check_tools,
)
CHECKS_OF_TEST: tuple[Check, ...] = (check_answers, check_roles, check_lengths, check_vocabulary, check_tools)
"""What a separate test set must pass too; all else compares examples with each other."""

_WORST_FIRST = ("error", "warning", "note")


def check_examples(
    loaded: Loaded,
    test: Loaded | None = None,
    tokenizer: ChatTokenizer | None = None,
    max_tokens: int | None = None,
    model: str | None = None,
    method: Method | None = None,
    *,
    do_leaks_stop: bool = False,
) -> CheckReport:
    """Every problem of a data set, worst first: what the reader found and what the checks find.

    With `tokenizer` (of `model`) the chat template is tried on every example, and with `max_tokens` its length; with
    `method`, whether it can learn from them. `do_leaks_stop`: leaks that stop a run are errors; False where the run's
    own gate follows (`settle_leaks`).
    """
    context = CheckContext(loaded, test, tokenizer, max_tokens, model, method, do_leaks_stop)
    found: list[Problem] = [*loaded.problems, *(test.problems if test else [])]
    for check in CHECKS:
        found += check(context)
    if test is not None:
        for check in CHECKS_OF_TEST:
            found += check(CheckContext(test, None, tokenizer, max_tokens, model))
    found.sort(key=lambda problem: _WORST_FIRST.index(problem.severity))
    return CheckReport(dataset=loaded.dataset, model=model, problems=tuple(found))
