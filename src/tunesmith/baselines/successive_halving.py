"""Candidates -> the best of them on the validation examples, found by sequential halving.

All candidates answer the same few examples; the worse half is dropped; those that stay answer twice as many, and so on
until the last ones have answered them all. So most of the answers go to the candidates that are hard to tell apart.
Who equals the last that stays, stays too: where a weak model gets nothing right at first, the order of the list must
not decide. Each round adds to the scores of the rounds before, and all candidates of a round are compared on the same
examples.

Variants of whoever comes out first may be tried last, on all examples: so a way to ask that costs twice as much need
not be tried around every candidate.

A question that got no score (no answer, or one that the scorer could not judge) counts as 0 *for this choice*: whoever
leaves questions open must not win by it. The sentences say how many there were.

The chosen score is the highest of several, so it flatters; what a contender is worth is measured on the test examples.

Source: Karnin, Koren and Somekh 2013, "Almost optimal exploration in multi-armed bandits", ICML, section 3.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.baselines.prompt_builder import PromptBuilder
from tunesmith.records import Completer, Example
from tunesmith.records.quantity import format_duration, format_percent

EMPTY_BUILDER = PromptBuilder()
MIN_EXAMPLES = 16
"""Fewer would drop candidates by mere luck."""

Measure = Callable[[Completer, Sequence[Example]], Sequence[float | None]]
"""(completer, validation examples) -> the deciding score of each answer, None where there is none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to ask: `around` puts whatever it is around a completer, the base model's or the tuned one's.

    `name` is short and unlike the others'; `given` tells in words what stands before the question; `prompting` says
    how a prompt is changed; `held` names the way in which answers are held to a form, "" where they are free.
    """

    name: str
    description: str
    wrap: Callable[[Completer], Completer]
    prompt_builder: PromptBuilder = EMPTY_BUILDER
    output_constraint: str = ""

    @classmethod
    def from_builder(cls, name: str, description: str, prompt_builder: PromptBuilder) -> "Candidate":
        """The candidate that asks so."""
        return cls(name, description, prompt_builder.wrap, prompt_builder)

    @property
    def instruction(self) -> str:
        """What it adds to the system message, in full."""
        return self.prompt_builder.instruction

    @property
    def shots(self) -> tuple[Example, ...]:
        """The examples that it always shows."""
        return self.prompt_builder.shots


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """A candidate and its scores on the examples that it was asked before it was dropped or chosen."""

    candidate: Candidate
    scores: tuple[float | None, ...]

    @property
    def mean(self) -> float:
        """Of all it was asked, 0 for what got no score."""
        return sum(score or 0.0 for score in self.scores) / max(len(self.scores), 1)

    @property
    def has_score(self) -> bool:
        """Whether any question of it got a score: else nothing is known of it, least of all 0 %."""
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
    """What was chosen, the trials of all candidates (best first, those dropped early last), and how long it took."""

    candidate: Candidate
    trials: tuple[CandidateResult, ...]
    seconds: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """For `ContenderSpec.chosen`: what won, what else was tried and how that did, and the words of the instruction."""
        first, *others = self.trials
        n = len(first.scores)
        told = [f"Nothing to choose: {first.candidate.name} was the only candidate."]
        if others and not n:
            told = [f"No validation examples to choose on: {first.candidate.name} was taken."]
        elif others and not any(trial.has_score for trial in self.trials):
            told = [
                f"None of {len(self.trials):,} candidates got a score on {n:,} validation examples: "
                f"{first.candidate.name} was taken, as the simplest."
            ]
        elif others:
            told = [
                f"Of {len(self.trials):,} ways tried on {n:,} validation examples in {format_duration(self.seconds)}, this "
                f"did best: {first}.",
                *_describe_others(others, n),
            ]
        if self.candidate.instruction:
            told.append(f'The instruction that it adds: "{self.candidate.instruction}"')
        return tuple(told)


Variants = Callable[[Candidate], Sequence[Candidate]]
"""What else to try around the best candidate."""


def make_no_variants(best: Candidate) -> Sequence[Candidate]:
    """Nothing else."""
    return ()


def select_candidate(
    candidates: Sequence[Candidate],
    base: Completer,
    examples: Sequence[Example],
    measure: Measure,
    seed: int = 0,
    variants: Variants = make_no_variants,
) -> SelectionResult:
    """The candidate that does best around `base`. Give the simplest first: among equals, it is taken.

    Deterministic: the seed says which examples come first. Nothing is asked where there is nothing to choose.
    Errors: ValueError without candidates; whatever `measure` raises.
    """
    if not candidates:
        raise ValueError("there is no candidate to choose")
    began = time.perf_counter()
    order = sorted(examples, key=lambda example: hashlib.sha256(f"{seed}:{example.id}".encode()).digest())
    scores: list[list[float | None]] = [[] for _ in candidates]
    standing = list(range(len(candidates)))
    dropped: list[int] = []
    for survivors, n in plan_rounds(len(candidates), len(order)):
        ranked = sorted(standing, key=lambda c: -_compute_mean(scores[c]))  # stable: the simpler of equals first
        least = _compute_mean(scores[ranked[min(survivors, len(ranked)) - 1]])
        standing = [c for c in standing if _compute_mean(scores[c]) >= least]
        dropped = [c for c in ranked if c not in standing] + dropped
        for c in standing:
            scores[c] += measure(candidates[c].wrap(base), order[len(scores[c]) : n])
    ranked = sorted(standing, key=lambda c: -_compute_mean(scores[c]))
    whole = [CandidateResult(candidates[c], tuple(scores[c])) for c in ranked]
    if whole[0].scores:
        whole += [CandidateResult(one, tuple(measure(one.wrap(base), order))) for one in variants(whole[0].candidate)]
    whole.sort(key=lambda trial: -trial.mean)
    trials = (*whole, *(CandidateResult(candidates[c], tuple(scores[c])) for c in dropped))
    return SelectionResult(trials[0].candidate, trials, time.perf_counter() - began)


def plan_rounds(candidates: int, examples: int) -> list[tuple[int, int]]:
    """(how many candidates are asked, up to how many examples each) round by round; none with nothing to choose."""
    if candidates < 2 or not examples:
        return []
    halvings = math.ceil(math.log2(candidates)) - 1
    n = min(examples, max(MIN_EXAMPLES, math.ceil(examples / 2**halvings)))
    plan = [(candidates, n)]
    while n < examples:
        candidates, n = max(2, math.ceil(candidates / 2)), min(examples, 2 * n)
        plan.append((candidates, n))
    return plan


def count_required_answers(candidates: int, examples: int) -> int:
    """How many answers a choice takes where no candidates equal each other; where all do, `candidates * examples`."""
    asked, before = 0, 0
    for standing, n in plan_rounds(candidates, examples):
        asked, before = asked + standing * (n - before), n
    return asked


def _compute_mean(scores: Sequence[float | None]) -> float:
    return sum(score or 0.0 for score in scores) / max(len(scores), 1)


def _describe_others(others: Sequence[CandidateResult], n: int) -> list[str]:
    """Those that were asked everything, then those dropped, the last dropped first."""
    told = []
    for asked in sorted({len(trial.scores) for trial in others}, reverse=True):
        names = ", ".join(str(trial) for trial in others if len(trial.scores) == asked)
        told.append(f"Also tried: {names}." if asked == n else f"Dropped after {asked:,} examples: {names}.")
    return told
