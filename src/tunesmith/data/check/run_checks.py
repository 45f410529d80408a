"""Run all checks on a data set: `check_examples` and the registry of checks."""

from collections.abc import Iterable, Iterator
from typing import Any

from tunesmith.data.check.context import Check, CheckContext
from tunesmith.data.read.dataset_reader import LoadedDataset
from tunesmith.plugins import Registry
from tunesmith.records import ChatTokenizer, CheckReport, Method, Problem

CHECKS: Registry[Check] = Registry(
    "tunesmith.checks",
    "data check",
    {
        "answers": "tunesmith.data.check.missing_answers:check_answers",
        "method": "tunesmith.data.check.method_fit:check_method",
        "pairs": "tunesmith.data.check.preference_pairs:check_pairs",
        "roles": "tunesmith.data.check.role_order:check_roles",
        "lengths": "tunesmith.data.check.lengths:check_lengths",
        "vocabulary": "tunesmith.data.check.missing_embeddings:check_missing_embeddings",
        "control-tokens": "tunesmith.data.check.control_tokens:check_control_tokens",
        "template": "tunesmith.data.check.template_effects:check_template",
        "leakage": "tunesmith.data.check.leakage:check_leakage",
        "conflicting-answers": "tunesmith.data.check.conflicting_answers:check_conflicting_answers",
        "duplicates": "tunesmith.data.check.duplicates:check_duplicates",
        "near-duplicates": "tunesmith.data.check.near_duplicates:check_near_duplicates",
        "labels": "tunesmith.data.check.label_coverage:check_labels",
        "size": "tunesmith.data.check.dataset_size:check_size",
    },
)
"""Checks by name, in the order in which they run; those of plugins come last."""
TEST_SET_CHECKS = ("answers", "roles", "lengths", "vocabulary")
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
    context = CheckContext(
        loaded, test, tokenizer, max_tokens, model, method, is_contamination_error
    )
    found: list[Problem] = [*loaded.problems, *(test.problems if test else [])]
    for name in CHECKS:
        found += _run_check(name, context)
    if test is not None:
        for name in TEST_SET_CHECKS:
            # Without `method`: it restricts training data, a test set is only answered.
            found += _run_check(name, CheckContext(test, None, tokenizer, max_tokens, model))
    # The sort is stable, so problems of one severity keep the order of `CHECKS`.
    found.sort(key=lambda problem: _SEVERITY_ORDER.index(problem.severity))
    return CheckReport(dataset=loaded.dataset, model=model, problems=tuple(found))


def _run_check(name: str, context: CheckContext) -> Iterator[Problem]:
    """The problems that one check finds. Errors: `PluginError` if a plugin returns something
    else."""
    found: Any = CHECKS.load(name)(context)
    if not isinstance(found, Iterable):
        CHECKS.reject(name, f"it returned a {type(found).__name__} instead of problems")
    for problem in found:
        if not isinstance(problem, Problem):
            CHECKS.reject(name, f"it returned a {type(problem).__name__} instead of a problem")
        yield problem
