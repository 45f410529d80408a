"""What is judged and what the rules found, before it is put in words."""

from dataclasses import dataclass

from tunesmith.decision.bar import objection
from tunesmith.decision.circumstances import NOTHING_SAID
from tunesmith.decision.duel import Duel, is_tuned
from tunesmith.records import Bar, Circumstances, Contender, Evaluation, Quantity, TrainingExtent, Verdict


@dataclass(frozen=True, slots=True)
class Case:
    """All that a verdict hangs on. `forgetting` is general ability before tuning less that after it, `training` how
    much the tuned model was tuned (None: not known)."""

    evaluation: Evaluation
    bar: Bar
    circumstances: Circumstances = NOTHING_SAID
    forgetting: Quantity | None = None
    training: TrainingExtent | None = None

    def score(self, contender: Contender) -> Quantity:
        """The contender's score on the deciding metric."""
        return contender.metrics[self.evaluation.metric]

    @property
    def undertuned(self) -> frozenset[str]:
        """The names of those that were tuned too little to judge fine-tuning by them."""
        if self.training is None or not self.training.is_short:
            return frozenset()
        return frozenset(one.name for one in self.evaluation.contenders if is_tuned(one))

    def objection(self, contender: Contender) -> str | None:
        """Why this contender is out for sure; None when it is in. A low score after too little tuning is no reason."""
        is_judged = contender.name not in self.undertuned
        return objection(contender, self.evaluation.metric, self.bar, self.circumstances, with_score=is_judged)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ladder` is everybody from simple to dear; `duels` are those of all who are in.

    `best` is the winner, or whoever the verdict hangs on when it cannot be told (None: nobody is of any use); `doubts`
    are the duels that keep `best` from winning, `needed` the test examples that would settle them.
    """

    verdict: Verdict
    ladder: tuple[Contender, ...]
    duels: tuple[Duel, ...] = ()
    best: Contender | None = None
    doubts: tuple[Duel, ...] = ()
    needed: int | None = None

    @property
    def winner(self) -> Contender | None:
        """None where nobody wins."""
        return None if self.verdict == "cannot tell" else self.best
