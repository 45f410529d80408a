"""What is judged and what the rules found, before it is put in words."""

from dataclasses import dataclass

from tunesmith.decision.circumstances import NOTHING_SAID
from tunesmith.decision.duel import Duel
from tunesmith.records import Bar, Circumstances, Contender, Evaluation, Quantity, Verdict


@dataclass(frozen=True, slots=True)
class Case:
    """All that a verdict hangs on. `forgetting` is general ability before tuning less that after it."""

    evaluation: Evaluation
    bar: Bar
    circumstances: Circumstances = NOTHING_SAID
    forgetting: Quantity | None = None

    def score(self, contender: Contender) -> Quantity:
        """The contender's score on the deciding metric."""
        return contender.metrics[self.evaluation.metric]


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
