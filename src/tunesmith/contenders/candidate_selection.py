"""Choices are made on the validation examples: which shots, how many retrieved texts, which prompt,
which output constraint.

The test examples are out of reach here. The cost of a choice is counted: seconds of this machine,
or what a provider charges for the tokens of its trials. Every choice is stored with the run, so a
resumed decision does not repeat any.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tunesmith.contenders.successive_halving import (
    Candidate,
    CandidateResult,
    Measure,
    SelectionResult,
    SelectionTimeOver,
    Variants,
    count_required_answers,
    make_no_variants,
    select_candidate,
)
from tunesmith.evaluation.harness import compute_primary_scores
from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import (
    CandidateScores,
    Completer,
    Example,
    OptimizedPrompt,
    SelectionRecord,
    TokenPrice,
)
from tunesmith.runs.interruption import build_interruption
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal


@dataclass(frozen=True)
class Selection:
    """The chosen candidate, and the cost of the trials."""

    result: SelectionResult
    usd_charged: float

    @property
    def candidate(self) -> Candidate:
        """The candidate with the best score."""
        return self.result.candidate

    @property
    def seconds(self) -> float:
        """Seconds of this machine; 0 if there was only one candidate."""
        return self.result.seconds if len(self.result.trials) > 1 else 0.0

    @property
    def is_worth_reporting(self) -> bool:
        """Whether it is reported: there was more than one candidate, or the instruction is ours and
        must be readable.
        """
        return len(self.result.trials) > 1 or bool(self.candidate.instruction)

    def add_search_cost(self, search: SelectionRecord | None) -> "Selection":
        """The selection with the cost of the search before it added."""
        if search is None:
            return self
        chosen = replace(self.result, seconds=self.result.seconds + search.seconds)
        return Selection(chosen, self.usd_charged + search.usd_charged)


class ChoicePacer(Protocol):
    """Limits the time of choices; `costs/budget_replanning.py` has one with a time and one
    without.
    """

    def start_choice(self, kind: str) -> Callable[[], bool]:
        """A choice for a kind of contender begins. Returns whether its time is over by now."""
        ...

    def record_shortened(self, what: str, done: float) -> None:
        """A choice ended because its time was over; `done` is the fraction of its answers that
        counted.
        """
        ...


class UnlimitedPacer:
    """Choices take the time that they need."""

    def start_choice(self, kind: str) -> Callable[[], bool]:
        """Its time is never over."""
        return lambda: False

    def record_shortened(self, what: str, done: float) -> None:
        """Never happens."""


@dataclass
class CandidateSelector:
    """Measures candidates on the validation examples; `seconds` is the total of all choices so
    far.
    """

    examples: Sequence[Example]
    scorer: Scorer
    seed: int
    listener: ProgressListener
    stop: StopSignal
    folder: RunFolder
    pacer: ChoicePacer = field(default_factory=UnlimitedPacer)
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._stored_selections = {
            one.purpose: one for one in self.folder.read_selections().records
        }

    def select(
        self,
        what: str,
        candidates: Sequence[Candidate],
        base: Completer,
        price: TokenPrice | None = None,
        variants: Variants = make_no_variants,
        kind: str = "",
    ) -> Selection:
        """The best of the candidates around `base`, or the best of its variants, for a contender
        of a kind.

        Errors: `Interrupted` if a stop was requested.
        """
        choice = self._restore_selection(what, candidates, variants) or self._run_trials(
            what, candidates, base, price, variants, self.pacer.start_choice(kind)
        )
        self.seconds += choice.seconds
        self.listener.note(
            "selection/chosen", f"{what}: {choice.result.sentences[0]}", selection=what
        )
        return choice

    def _restore_selection(
        self, what: str, candidates: Sequence[Candidate], variants: Variants
    ) -> Selection | None:
        """The choice made before the run was interrupted, if it was among exactly these
        candidates.
        """
        kept = self._stored_selections.get(what)
        named = {
            one.name: one for candidate in candidates for one in (candidate, *variants(candidate))
        }
        tried = {one.name for one in kept.trials} if kept else set()
        # All of today's candidates were tried, and nothing that is unknown today: the recipe or the
        # data have not changed what is offered.
        if (
            kept is None
            or not {candidate.name for candidate in candidates} <= tried <= named.keys()
        ):
            return None
        trials = tuple(CandidateResult(named[one.name], one.scores) for one in kept.trials)
        if trials[0].scores and not any(trial.has_score for trial in trials):
            return None  # the model failed on all of them; try again, it may work now
        return Selection(
            SelectionResult(trials[0].candidate, trials, kept.seconds, kept.ended_early),
            kept.usd_charged,
        )

    def _run_trials(
        self,
        what: str,
        candidates: Sequence[Candidate],
        base: Completer,
        price: TokenPrice | None,
        variants: Variants,
        is_over: Callable[[], bool],
    ) -> Selection:
        charged: list[float] = []
        required = count_required_answers(len(candidates), len(self.examples))
        measure = self.build_measure(what, required, price, charged, is_over)
        chosen = select_candidate(candidates, base, self.examples, measure, self.seed, variants)
        tried = tuple(
            CandidateScores(name=trial.candidate.name, scores=trial.scores)
            for trial in chosen.trials
        )
        self.folder.append_selection(
            SelectionRecord(
                purpose=what,
                trials=tried,
                seconds=chosen.seconds,
                usd_charged=sum(charged),
                ended_early=chosen.ended_early,
            )
        )
        if chosen.ended_early:
            counted = sum(len(trial.scores) for trial in chosen.trials)
            self.pacer.record_shortened(what, counted / max(1, required))
        return Selection(chosen, sum(charged))

    def search(
        self,
        what: str,
        search: Callable[[Completer, Measure], OptimizedPrompt],
        base: Completer,
        price: TokenPrice | None = None,
    ) -> SelectionRecord:
        """A prompt found by an external search for `base`, and its cost; stored like a choice."""
        kept = self._stored_selections.get(what)
        if kept is not None and kept.optimized_prompt is not None:
            self.seconds += kept.seconds
            return kept
        # The cache counts the tokens, and an optimizer may repeat a prompt without a second charge.
        asked, began = CachingCompleter(base), time.perf_counter()
        result = search(asked, self.build_measure(what))
        charged = price.compute_usd(asked.usage.tokens_in, asked.usage.tokens_out) if price else 0.0
        made = SelectionRecord(
            purpose=what,
            trials=(),
            seconds=time.perf_counter() - began,
            usd_charged=charged,
            optimized_prompt=result,
        )
        self.folder.append_selection(made)
        self.seconds += made.seconds
        return made

    def build_measure(
        self,
        what: str,
        answers: int = 0,
        price: TokenPrice | None = None,
        charged: list[float] | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Measure:
        """A function that generates answers and scores them.

        `answers`: the expected total number, more if candidates tie; a provider's charges in USD
        are appended to `charged`. Where `is_over` says so between two answers, the function raises
        `SelectionTimeOver`.
        """
        before = 0

        def report_progress(ready: int, total: int) -> None:
            # More rounds may follow when candidates tie, so the total may grow.
            self.listener.update_progress(
                f"selecting {what}", before + ready, max(answers, before + total)
            )
            if self.stop.is_requested():
                raise build_interruption(self.folder, self.stop.exit_code)
            # Not at the last answer: it is there, so it counts.
            if ready < total and is_over():
                raise SelectionTimeOver

        def measured(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
            nonlocal before
            if is_over():
                raise SelectionTimeOver
            completions = completer.complete(
                [example.prompt for example in examples], report_progress
            )
            before += len(completions)
            if price is not None and charged is not None:
                charged.extend(
                    price.compute_usd(one.tokens_in, one.tokens_out) for one in completions
                )
            return compute_primary_scores(completions, examples, self.scorer)

        return measured


def constrain_candidate(candidate: Candidate, completer: Completer, how: str) -> Candidate:
    """The candidate with another completer in place of the one it will be given: one whose answers
    are constrained to a form.
    """

    return replace(
        candidate,
        name=f"{candidate.name}, {how}",
        description=", ".join(part for part in (candidate.description, how) if part),
        wrap=lambda _: candidate.wrap(completer),
        output_constraint=how,
        free=candidate.unconstrained,
    )


def rank_shot_sets(candidates: Sequence[Candidate], choice: Selection) -> list[Candidate]:
    """The shot sets, best first, each once, unconstrained."""
    # a set appears unconstrained, constrained, and with the labels; index() takes its best rank
    ranked = [trial.candidate.shots for trial in choice.result.trials]
    return sorted(candidates, key=lambda one: ranked.index(one.shots))
