"""The usage context that the user described, and how much it may influence the verdict.

Where the data may go and how long users will wait are limits: they disqualify contenders
(`requirements.py`). The other answers are *preferences*: they settle what the data leave open and
never overturn what the data show (docs/decisions/015).

| the user's answer              | speaks against                | because                         |
|--------------------------------|-------------------------------|---------------------------------|
| the task changes weekly, daily | fine-tune, fine-tune+rag      | each change means tuning again  |
| the facts change weekly, daily | fine-tune                     | a tuned model keeps the facts   |
|                                |                               | it was trained on               |
| it is used once                | rag, fine-tune, fine-tune+rag | neither an index nor a tuning   |
|                                |                               | is used a second time           |
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith.records import Requirements, UsageContext, Verdict
from tunesmith.records.contender_kinds import ContenderKind, list_trained_verdicts, list_verdicts

CONTEXT_DESCRIPTIONS: Mapping[str, str] = {
    "task_change_frequency": "how often the task itself changes",
    "fact_change_frequency": "how often the facts behind it change",
    "recurrence": "whether it is used once or continuously",
    "requests_per_month": "the number of requests per month",
    "data_residency": "where the data may be sent",
    "max_wait_seconds": "the maximum wait that users accept",
}

DECISIVE_ANSWERS: Mapping[tuple[str, str], str] = {
    ("task_change_frequency", "weekly"): "the task changes every week",
    ("fact_change_frequency", "daily"): "the facts change every day",
    ("recurrence", "once"): "it is used only once",
}
"""Answers that act as preferences. If one is missing and the data are inconclusive, the report
states the verdict that the answer would lead to.
"""


EMPTY_CONTEXT = UsageContext()


@dataclass(frozen=True, slots=True)
class ContextPreference:
    """A preference against some verdicts, with the two halves of its sentence: `reason`, and what
    it favors.
    """

    against: frozenset[Verdict]
    reason: str
    favored: str


def list_context_preferences(usage_context: UsageContext) -> list[ContextPreference]:
    """The preferences that follow from the usage context, by the table at the top of this
    module.
    """
    preferences = []
    if usage_context.task_change_frequency in ("weekly", "daily"):
        because = (
            f"the task changes {usage_context.task_change_frequency} and each change"
            " requires retraining"
        )
        preferences.append(ContextPreference(list_trained_verdicts(), because, "prompting"))
    if usage_context.fact_change_frequency in ("weekly", "daily"):
        because = (
            f"the facts change {usage_context.fact_change_frequency} and a tuned model only knows"
            " those "
            "it was trained on"
        )
        preferences.append(ContextPreference(list_verdicts(_keeps_facts), because, "retrieval"))
    if usage_context.recurrence == "once":
        because = "it is used once and neither an index nor a tuned model would be reused"
        preferences.append(ContextPreference(list_verdicts(_has_setup), because, "prompting"))
    return preferences


def _keeps_facts(kind: ContenderKind) -> bool:
    """Whether facts are in its weights alone, with nothing looked up that could correct them."""
    return kind.is_trained and not kind.uses_retrieval


def _has_setup(kind: ContenderKind) -> bool:
    """Whether an index or a tuning is made for it."""
    return kind.is_trained or kind.uses_retrieval


def find_disfavored_verdicts(usage_context: UsageContext) -> frozenset[Verdict]:
    """All verdicts that at least one preference speaks against."""
    return frozenset().union(
        *(leaning.against for leaning in list_context_preferences(usage_context))
    )


def list_missing_context(usage_context: UsageContext, requirements: Requirements) -> list[str]:
    """Descriptions of the missing answers. A `max_latency_seconds` requirement also answers how
    long users will wait.
    """
    missing = [name for name in CONTEXT_DESCRIPTIONS if getattr(usage_context, name) is None]
    if requirements.max_latency_seconds is not None and "max_wait_seconds" in missing:
        missing.remove("max_wait_seconds")
    return [CONTEXT_DESCRIPTIONS[name] for name in missing]
