"""Choices are made on the validation examples: which shots, how much is retrieved, which prompt, which form.

The test examples are not in reach here. What a choice takes is counted: seconds of this machine, or what a provider
charges for the tokens of its trials. Every choice is kept with the run, so a decision that was cut short and goes on
makes none of them again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tunesmith.baselines.choosing import (
    Candidate,
    Chosen,
    Measure,
    Trial,
    Variants,
    answers_needed,
    choose,
    no_variants,
)
from tunesmith.evaluation.evaluate import deciding_scores
from tunesmith.evaluation.judge.counted import CountedCompleter
from tunesmith.evaluation.scorers.scorer import Scorer
from tunesmith.records import ChoiceMade, Completer, Example, FoundPrompt, TokenPrice, Tried
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import Stop
from tunesmith.workflow.ending import interrupted
from tunesmith.workflow.listener import Listener


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

    def after(self, search: ChoiceMade | None) -> "Choice":
        """The choice with what a search before it took."""
        if search is None:
            return self
        chosen = replace(self.chosen, seconds=self.chosen.seconds + search.seconds)
        return Choice(chosen, self.usd_charged + search.usd_charged)


@dataclass
class Chooser:
    """Measures candidates on the validation examples; `seconds` are those of all choices so far."""

    examples: Sequence[Example]
    scorer: Scorer
    seed: int
    listener: Listener
    stop: Stop
    folder: RunFolder
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._kept = {one.what: one for one in self.folder.choices().records}

    def choose(
        self,
        what: str,
        candidates: Sequence[Candidate],
        base: Completer,
        price: TokenPrice | None = None,
        variants: Variants = no_variants,
    ) -> Choice:
        """The best of the candidates around `base`, or the best of its variants.

        Errors: `Interrupted` when somebody asks to stop.
        """
        choice = self._recalled(what, candidates, variants) or self._made(what, candidates, base, price, variants)
        self.seconds += choice.seconds
        self.listener.note(f"{what}: {choice.chosen.sentences[0]}")
        return choice

    def _recalled(self, what: str, candidates: Sequence[Candidate], variants: Variants) -> Choice | None:
        """The choice that was made before the run was cut short, if it was among these very candidates."""
        kept = self._kept.get(what)
        named = {one.name: one for candidate in candidates for one in (candidate, *variants(candidate))}
        tried = {one.name for one in kept.trials} if kept else set()
        if kept is None or not {candidate.name for candidate in candidates} <= tried <= named.keys():
            return None
        trials = tuple(Trial(named[one.name], one.scores) for one in kept.trials)
        if trials[0].scores and not any(trial.has_score for trial in trials):
            return None  # whoever was asked did not answer then; perhaps it does now
        return Choice(Chosen(trials[0].candidate, trials, kept.seconds), kept.usd_charged)

    def _made(
        self, what: str, candidates: Sequence[Candidate], base: Completer, price: TokenPrice | None, variants: Variants
    ) -> Choice:
        charged: list[float] = []
        measure = self.measure(what, answers_needed(len(candidates), len(self.examples)), price, charged)
        chosen = choose(candidates, base, self.examples, measure, self.seed, variants)
        tried = tuple(Tried(name=trial.candidate.name, scores=trial.scores) for trial in chosen.trials)
        self.folder.append_choice(ChoiceMade(what=what, trials=tried, seconds=chosen.seconds, usd_charged=sum(charged)))
        return Choice(chosen, sum(charged))

    def search(
        self,
        what: str,
        search: Callable[[Completer, Measure], FoundPrompt],
        base: Completer,
        price: TokenPrice | None = None,
    ) -> ChoiceMade:
        """A prompt that a search of its own finds for `base`, and what that took; kept like a choice."""
        kept = self._kept.get(what)
        if kept is not None and kept.found is not None:
            self.seconds += kept.seconds
            return kept
        asked, began = CountedCompleter(base), time.perf_counter()
        found = search(asked, self.measure(what))
        charged = price.usd_of(asked.usage.tokens_in, asked.usage.tokens_out) if price else 0.0
        made = ChoiceMade(what=what, trials=(), seconds=time.perf_counter() - began, usd_charged=charged, found=found)
        self.folder.append_choice(made)
        self.seconds += made.seconds
        return made

    def measure(
        self, what: str, answers: int = 0, price: TokenPrice | None = None, charged: list[float] | None = None
    ) -> Measure:
        """Asks and scores. `answers`: how many will be asked for in all, more where candidates equal each other; what a
        provider charges is added to `charged`."""
        before = 0

        def tell(ready: int, wanted: int) -> None:
            self.listener.progress(f"choosing {what}", before + ready, max(answers, before + wanted))
            if self.stop.asked():
                raise interrupted(self.folder, self.stop.exit_code)

        def measured(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
            nonlocal before
            completions = completer.complete([example.prompt for example in examples], tell)
            before += len(completions)
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
        held=how,
    )
