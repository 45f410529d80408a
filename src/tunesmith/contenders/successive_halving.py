"""Candidates -> the best one on the validation examples, found by sequential halving.

All candidates answer the same few examples; the worse half is dropped; the rest answer twice as
many, and so on until the last ones have answered all examples. So most answers are spent on the
candidates that are hard to distinguish. A candidate tied with the last survivor survives too: if a
weak model gets nothing right at first, the order of the list must not decide. Each round adds to
the scores of the earlier rounds, and all candidates of a round are compared on the same examples.

Variants of the best candidate may be tried at the end, on all examples: so a variant that costs
twice as much need not be tried for every candidate.

A question without a score (no answer, or one that the scorer could not judge) counts as 0 *for this
selection*: leaving questions unanswered must not help a candidate win. The summary sentences say
how many there were.

The winner's score is the maximum of multiple scores and therefore optimistic; a contender's quality
is measured on the test examples.

Source: Karnin, Koren and Somekh 2013, "Almost optimal exploration in multi-armed bandits", ICML,
section 3.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.records import Completer, Example
from tunesmith.records.quantity import format_duration, format_percent

EMPTY_BUILDER = PromptBuilder()
MIN_EXAMPLES = 16
"""Number of examples in the first round; fewer would drop good candidates by chance."""

Measure = Callable[[Completer, Sequence[Example]], Sequence[float | None]]
"""(completer, validation examples) -> the primary score of each answer, None if it has none."""


class SelectionTimeOver(Exception):
    """The time for a selection is over: what is measured so far decides."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to prompt. `wrap` applies it to a completer, the base model's or the tuned one's.

    `name` is short and unique; `description` says in words what precedes the question;
    `prompt_builder` transforms the prompts; `output_constraint` names the kind of constrained
    decoding, "" if decoding is unconstrained; `free` is then the candidate without it.
    """

    name: str
    description: str
    wrap: Callable[[Completer], Completer]
    prompt_builder: PromptBuilder = EMPTY_BUILDER
    output_constraint: str = ""
    free: "Candidate | None" = None

    @classmethod
    def from_builder(
        cls, name: str, description: str, prompt_builder: PromptBuilder
    ) -> "Candidate":
        """The candidate that consists of this prompt builder."""
        return cls(name, description, prompt_builder.wrap, prompt_builder)

    @property
    def unconstrained(self) -> "Candidate":
        """The same candidate without a constraint."""
        return self.free or self

    @property
    def k(self) -> int:
        """How many texts it retrieves for a question; 0 without retrieval."""
        return self.prompt_builder.k

    @property
    def instruction(self) -> str:
        """The text that it appends to the system message, in full."""
        return self.prompt_builder.instruction

    @property
    def shots(self) -> tuple[Example, ...]:
        """The examples that precede every question."""
        return self.prompt_builder.shots


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A candidate and its scores on the examples it answered before it was dropped or selected."""

    candidate: Candidate
    scores: tuple[float | None, ...]

    @property
    def mean(self) -> float:
        """Mean score over all examples it answered; a missing score counts as 0."""
        return sum(score or 0.0 for score in self.scores) / max(len(self.scores), 1)

    @property
    def has_score(self) -> bool:
        """Whether at least one answer has a score; otherwise the mean of 0 means nothing."""
        return any(score is not None for score in self.scores)

    def __str__(self) -> str:
        missing = sum(score is None for score in self.scores)
        if self.scores and not self.has_score:
            return f"{self.candidate.name} no score"
        return f"{self.candidate.name} {format_percent(self.mean)}" + (
            f" ({missing:,} without a score)" if missing else ""
        )


@dataclass(frozen=True, slots=True)
class SelectionResult:
    """The selected candidate, the results of all candidates (best first, those dropped early last),
    and the wall time in seconds. `stopped_early`: its time was over before all was tried."""

    candidate: Candidate
    trials: tuple[CandidateResult, ...]
    seconds: float
    ended_early: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """For `ContenderSpec.chosen`: which candidate won, which others were tried with which
        scores, and the text of the instruction."""
        first, *others = self.trials
        n = len(first.scores)
        sentences = [f"Nothing to select: {first.candidate.name} was the only candidate."]
        if others and not n and self.ended_early:
            sentences = [
                f"No time left to select: {first.candidate.name} was used, as the first candidate."
            ]
        elif others and not n:
            sentences = [f"No validation examples to select on: {first.candidate.name} was used."]
        elif others and not any(trial.has_score for trial in self.trials):
            sentences = [
                f"None of {len(self.trials):,} candidates has a score on {n:,} validation "
                f"examples: {first.candidate.name} was used because it is the simplest."
            ]
        elif others:
            sentences = [
                (
                    f"Best of {len(self.trials):,} candidates on {n:,} validation examples "
                    f"({format_duration(self.seconds)}): {first}."
                ),
                *_describe_others(others, n),
            ]
        if self.ended_early and n:
            sentences.append("The time for this choice was over before all was tried.")
        if self.candidate.instruction:
            sentences.append(f'Added instruction: "{self.candidate.instruction}"')
        return tuple(sentences)


Variants = Callable[[Candidate], Sequence[Candidate]]
"""The best candidate -> further candidates to try."""


def make_no_variants(best: Candidate) -> Sequence[Candidate]:
    """The default `variants`: no further candidates."""
    return ()


def select_candidate(
    candidates: Sequence[Candidate],
    base: Completer,
    examples: Sequence[Example],
    measure: Measure,
    seed: int = 0,
    variants: Variants = make_no_variants,
) -> SelectionResult:
    """The candidate with the highest mean score around `base`; ties go to the earlier one, so list
    the simplest first.

    Deterministic: the seed determines the order of the examples. If there is nothing to select,
    no prompt is sent. Where `measure` raises `SelectionTimeOver`, the selection ends: the
    candidates are compared on the examples that all of them have answered. Errors: ValueError
    without candidates; others that `measure` raises.
    """
    if not candidates:
        raise ValueError("there is no candidate to select")
    began = time.perf_counter()
    # Order by hash: independent of the file's order, and the same for all candidates.
    order = sorted(
        examples, key=lambda example: hashlib.sha256(f"{seed}:{example.id}".encode()).digest()
    )
    scores: list[list[float | None]] = [[] for _ in candidates]
    standing = list(range(len(candidates)))
    dropped: list[int] = []
    is_over = False
    try:
        for survivors, n in plan_rounds(len(candidates), len(order)):
            # A stable sort: of equals, the earlier (simpler) candidate comes first.
            ranked = sorted(standing, key=lambda c: -_compute_mean(scores[c]))
            least = _compute_mean(scores[ranked[min(survivors, len(ranked)) - 1]])
            standing = [c for c in standing if _compute_mean(scores[c]) >= least]
            dropped = [c for c in ranked if c not in standing] + dropped
            for c in standing:
                # Only the new examples of this round; earlier scores are reused.
                scores[c] += measure(candidates[c].wrap(base), order[len(scores[c]) : n])
    except SelectionTimeOver:
        is_over = True
        standing, dropped = _keep_comparable(scores, standing, dropped)
    ranked = sorted(standing, key=lambda c: -_compute_mean(scores[c]))
    whole = [CandidateResult(candidates[c], tuple(scores[c])) for c in ranked]
    # Without scores the winner is arbitrary, and its variants are not worth the time.
    if whole[0].scores and not is_over:
        try:
            for one in variants(whole[0].candidate):
                whole.append(CandidateResult(one, tuple(measure(one.wrap(base), order))))
        except SelectionTimeOver:
            is_over = True
    whole.sort(key=lambda trial: -trial.mean)
    trials = (*whole, *(CandidateResult(candidates[c], tuple(scores[c])) for c in dropped))
    return SelectionResult(trials[0].candidate, trials, time.perf_counter() - began, is_over)


def _keep_comparable(
    scores: list[list[float | None]], standing: list[int], dropped: list[int]
) -> tuple[list[int], list[int]]:
    """(candidates to compare, others) when a round was cut short: scores that not all of them have
    are removed. In the first round, those without a score are the others.
    """
    counts = [len(scores[c]) for c in standing]
    common = min(counts) or max(counts)
    kept = [c for c in standing if len(scores[c]) >= common]
    for c in kept:
        del scores[c][common:]
    return kept, [c for c in standing if c not in kept] + dropped


def plan_rounds(candidates: int, examples: int) -> list[tuple[int, int]]:
    """(number of candidates, examples answered so far by each) per round; empty if there is nothing
    to select."""
    if candidates < 2 or not examples:
        return []
    # The first round has the number of examples that, doubled each time, ends at all of them when
    # two candidates remain.
    halvings = math.ceil(math.log2(candidates)) - 1
    n = min(examples, max(MIN_EXAMPLES, math.ceil(examples / 2**halvings)))
    plan = [(candidates, n)]
    while n < examples:
        candidates, n = max(2, math.ceil(candidates / 2)), min(examples, 2 * n)
        plan.append((candidates, n))
    return plan


def count_required_answers(candidates: int, examples: int) -> int:
    """Number of answers that a selection takes if no candidates tie; if all tie, it takes
    `candidates * examples`."""
    answers, before = 0, 0
    for standing, n in plan_rounds(candidates, examples):
        answers, before = answers + standing * (n - before), n
    return answers


def _compute_mean(scores: Sequence[float | None]) -> float:
    return sum(score or 0.0 for score in scores) / max(len(scores), 1)


def _describe_others(others: Sequence[CandidateResult], n: int) -> list[str]:
    """First those that answered all examples, then those dropped, the last dropped first."""
    sentences = []
    for count in sorted({len(trial.scores) for trial in others}, reverse=True):
        names = ", ".join(str(trial) for trial in others if len(trial.scores) == count)
        sentences.append(
            f"Other candidates: {names}."
            if count == n
            else f"Eliminated after {count:,} examples: {names}."
        )
    return sentences
