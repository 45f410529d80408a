"""Choices are made on the validation examples: which shots, how much is retrieved, which prompt, which form.

The test examples are not in reach here. What a choice takes is counted: seconds of this machine, or what a provider
charges for the tokens of its trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.baselines.choosing import Candidate, Chosen, Measure, choose
from tunesmith.evaluation.evaluate import deciding_scores
from tunesmith.evaluation.scorers.scorer import Scorer
from tunesmith.records import Completer, Example, TokenPrice
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import Stop
from tunesmith.workflow.listener import Listener
from tunesmith.workflow.tuning import interrupted


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what the trials took."""

    chosen: Chosen
    usd_charged: float

    @property
    def candidate(self) -> Candidate:
        """The one that did best."""
        return self.chosen.candidate

    @property
    def seconds(self) -> float:
        """Of this machine; nothing where there was nothing to choose."""
        return self.chosen.seconds if len(self.chosen.trials) > 1 else 0.0


@dataclass
class Chooser:
    """Measures candidates on the validation examples."""

    examples: Sequence[Example]
    scorer: Scorer
    seed: int
    listener: Listener
    stop: Stop
    folder: RunFolder

    def choose(
        self, what: str, candidates: Sequence[Candidate], base: Completer, price: TokenPrice | None = None
    ) -> Choice:
        """The best of the candidates around `base`. Errors: `Interrupted` when somebody asks to stop."""
        charged: list[float] = []
        chosen = choose(candidates, base, self.examples, self.measure(what, price, charged), self.seed)
        self.listener.note(f"{what}: {chosen.sentences[0]}")
        return Choice(chosen, sum(charged))

    def measure(self, what: str, price: TokenPrice | None = None, charged: list[float] | None = None) -> Measure:
        """Asks and scores; what a provider charges is added to `charged`."""

        def tell(ready: int, wanted: int) -> None:
            self.listener.progress(f"choosing {what}", ready, wanted)
            if self.stop.asked():
                raise interrupted(self.folder, self.stop)

        def measured(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
            completions = completer.complete([example.prompt for example in examples], tell)
            if price is not None and charged is not None:
                charged.extend(price.usd_of(one.tokens_in, one.tokens_out) for one in completions)
            return deciding_scores(completions, examples, self.scorer)

        return measured


def held(candidate: Candidate, completer: Completer, how: str) -> Candidate:
    """The candidate around another completer than the one it will be given: one whose answers keep a form."""

    return replace(
        candidate,
        name=f"{candidate.name}, {how}",
        given=", ".join(part for part in (candidate.given, how) if part),
        around=lambda _: candidate.around(completer),
    )
