"""Run all checks on a data set: `check_examples` and the list of checks."""

from tunesmith.data.check.conflicting_answers import check_conflicting_answers
from tunesmith.data.check.context import Check, CheckContext
from tunesmith.data.check.control_tokens import check_control_tokens
from tunesmith.data.check.dataset_size import check_size
from tunesmith.data.check.duplicates import check_duplicates
from tunesmith.data.check.label_distribution import check_labels
from tunesmith.data.check.leakage import check_leakage
from tunesmith.data.check.lengths import check_lengths
from tunesmith.data.check.method_fit import check_method
from tunesmith.data.check.missing_answers import check_answers
from tunesmith.data.check.near_duplicates import check_near_duplicates
from tunesmith.data.check.preference_pairs import check_pairs
from tunesmith.data.check.role_order import check_roles
from tunesmith.data.check.template_changes import check_template
from tunesmith.data.check.tool_use import check_tools
from tunesmith.data.check.vocabulary import check_vocabulary
from tunesmith.data.read.dataset_reader import LoadedDataset
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
    check_conflicting_answers,
    check_duplicates,
    check_near_duplicates,
    check_labels,
    check_size,
    check_tools,
)
TEST_SET_CHECKS: tuple[Check, ...] = (check_answers, check_roles, check_lengths, check_vocabulary, check_tools)
"""Checks that a separate test set must pass too; the others compare examples with one another."""

_SEVERITY_ORDER = ("error", "warning", "note")


def check_examples(
    loaded: LoadedDataset,
    test: LoadedDataset | None = None,
    tokenizer: ChatTokenizer | None = None,
    max_tokens: int | None = None,
    model: str | None = None,
    method: Method | None = None,
    *,
    is_contamination_error: bool = False,
) -> CheckReport:
    """Every problem of a data set, worst first: those of the reader and those of the checks.

    With `tokenizer` (of `model`) the chat template is tested on every example, with `max_tokens`
    the length, with `method` whether it can learn from the examples. `is_contamination_error`:
    whether contamination that stops a run is an error; False where the run's own gate follows
    (`resolve_contamination`).
    """
    context = CheckContext(loaded, test, tokenizer, max_tokens, model, method, is_contamination_error)
    found: list[Problem] = [*loaded.problems, *(test.problems if test else [])]
    for check in CHECKS:
        found += check(context)
    if test is not None:
        for check in TEST_SET_CHECKS:
            # Without `method`: it restricts training data, a test set is only answered.
            found += check(CheckContext(test, None, tokenizer, max_tokens, model))
    # The sort is stable, so problems of one severity keep the order of `CHECKS`.
    found.sort(key=lambda problem: _SEVERITY_ORDER.index(problem.severity))
    return CheckReport(dataset=loaded.dataset, model=model, problems=tuple(found))
