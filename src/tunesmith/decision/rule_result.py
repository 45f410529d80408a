"""Input and result of the verdict's rules, before they are put into words."""

from dataclasses import dataclass

from tunesmith.decision.context_preferences import EMPTY_CONTEXT
from tunesmith.decision.costlier_comparison import CostlierComparison
from tunesmith.decision.requirements import find_disqualification
from tunesmith.records import (
    Contender,
    Evaluation,
    Quantity,
    Requirements,
    TrainingLength,
    UsageContext,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """Everything the verdict depends on.

    `forgetting` is general ability before tuning minus that after it, `training_length` how much
    the model was tuned; None if unknown.
    """

    evaluation: Evaluation
    requirements: Requirements
    usage_context: UsageContext = EMPTY_CONTEXT
    forgetting: Quantity | None = None
    training_length: TrainingLength | None = None

    def get_score(self, contender: Contender) -> Quantity:
        """The contender's score on the deciding metric."""
        return contender.metrics[self.evaluation.metric]

    @property
    def undertuned(self) -> frozenset[str]:
        """Names of the contenders that were tuned too little to judge fine-tuning by."""
        if self.training_length is None or not self.training_length.is_short:
            return frozenset()
        return frozenset(one.name for one in self.evaluation.contenders if one.traits.is_trained)

    def find_disqualification(self, contender: Contender) -> str | None:
        """Why this contender is disqualified; None if it is eligible. A low score of an undertuned
        model is no reason.
        """
        is_judged = contender.name not in self.undertuned
        return find_disqualification(
            contender,
            self.evaluation.metric,
            self.requirements,
            self.usage_context,
            with_score=is_judged,
        )


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What the rules found.

    `ranking` holds all contenders from simple to costly, `comparisons` all pairs of eligible ones.
    `best` is the winner, or the leading contender if the verdict is inconclusive (None: no
    contender is of use). `open_comparisons` keep `best` from winning; `required_n` is the number of
    test examples that would settle them.
    """

    verdict: Verdict
    ranking: tuple[Contender, ...]
    comparisons: tuple[CostlierComparison, ...] = ()
    best: Contender | None = None
    open_comparisons: tuple[CostlierComparison, ...] = ()
    required_n: int | None = None

    @property
    def winner(self) -> Contender | None:
        """The winning contender; None if there is none."""
        return None if self.verdict == "cannot tell" else self.best
