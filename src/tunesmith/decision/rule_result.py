"""What is judged and what the rules found, before it is put in words."""

from dataclasses import dataclass

from tunesmith.decision.context_preferences import EMPTY_CONTEXT
from tunesmith.decision.pairwise_comparison import PairwiseComparison
from tunesmith.decision.requirements import find_disqualification
from tunesmith.records import Contender, Evaluation, Quantity, Requirements, TrainingLength, UsageContext, Verdict


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """All that a verdict hangs on. `forgetting` is general ability before tuning less that after it, `training` how
    much the tuned model was tuned (None: not known)."""

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
        """The names of those that were tuned too little to judge fine-tuning by them."""
        if self.training_length is None or not self.training_length.is_short:
            return frozenset()
        return frozenset(one.name for one in self.evaluation.contenders if one.traits.is_trained)

    def find_disqualification(self, contender: Contender) -> str | None:
        """Why this contender is out for sure; None when it is in. A low score after too little tuning is no reason."""
        is_judged = contender.name not in self.undertuned
        return find_disqualification(
            contender, self.evaluation.metric, self.requirements, self.usage_context, with_score=is_judged
        )


@dataclass(frozen=True, slots=True)
class RuleResult:
    """`ladder` is everybody from simple to dear; `duels` are those of all who are in.

    `best` is the winner, or whoever the verdict hangs on when it cannot be told (None: nobody is of any use); `doubts`
    are the duels that keep `best` from winning, `needed` the test examples that would settle them.
    """

    verdict: Verdict
    ranking: tuple[Contender, ...]
    comparisons: tuple[PairwiseComparison, ...] = ()
    best: Contender | None = None
    open_comparisons: tuple[PairwiseComparison, ...] = ()
    required_n: int | None = None

    @property
    def winner(self) -> Contender | None:
        """None where nobody wins."""
        return None if self.verdict == "cannot tell" else self.best
