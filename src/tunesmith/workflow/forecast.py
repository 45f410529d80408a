"""Measured pieces and counted work -> an estimate. Only arithmetic: nothing is measured or read here.

    tuning = steps * (tokens of a step * seconds of a token + optimizer) + looks + reference
    look   = validation tokens forward + answers generated             (none at the first look)
    answers to n prompts in batches of B = n * prompt + passes * pass,     passes = max(longest, sum of answers / B)

What came of past estimates on this machine corrects this one: the middle of actual / expected moves the expectation,
the extremes of it (and a tenth beyond) are the interval. Before there are any, the interval is a guess: `SPREAD`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Literal

from tunesmith.baselines.choosing import answers_needed
from tunesmith.baselines.rag.candidates import USUAL_KS
from tunesmith.baselines.shots import numbers_to
from tunesmith.evaluation.forgetting.probe import PROBE_TOKENS, probe_items
from tunesmith.records import Estimate, Range, Recipe, Run

if TYPE_CHECKING:
    from tunesmith.engine.pace import Prospect

How = Literal["quick", "measured"]
SPREAD = {"quick": (0.7, 1.7), "measured": (0.8, 1.4), "memory_bytes": (0.8, 1.3)}
RUNS_LEARNED_FROM = 5
MARGIN = 1.1
TOKENS_OF_A_WORD = 1.5  # of English, the marks of the chat template aside
WITH_HEAD = 1.5
"""A label's token is not only read, as a prompt's is, but looked up among all of the vocabulary."""
SURE_READS = 0.1
"""The share of the labels' tokens that a tuned model reads until it is sure (banking77: 0.03 s against 0.25)."""


@dataclass(frozen=True)
class Work:
    """What there is to do. `answers`: tokens of each validation answer, () where nothing is generated; `question`:
    tokens of a prompt on average; `tests`: examples that `decide` asks; `longest`: the limit of an answer;
    `label_tokens`: of all labels, what they begin with in common counted once (0: answers are no labels)."""

    examples: int
    tokens_read: int
    tokens_trained: int
    answers: tuple[int, ...]
    question: float
    tests: int
    longest: int
    label_tokens: int = 0


@dataclass(frozen=True)
class Lesson:
    """What past errors teach about one quantity: actual / expected, lowest, middle and highest."""

    low: float
    middle: float
    high: float
    runs: int = 0

    def applied(self, raw: Range) -> Range:
        """The quantity, corrected and with its interval."""
        return Range(low=raw.low * self.low, expected=raw.expected * self.middle, high=raw.high * self.high)

    def __str__(self) -> str:
        least, most = self.low * MARGIN, self.high / MARGIN
        return f"the last {self.runs} runs on this machine took {least:.2g} to {most:.2g} times that"


def forecast(prospect: "Prospect", work: Work, recipe: Recipe, past: Sequence[Run], how: How) -> Estimate:
    """Time, memory and money of the tuning, and what asking all contenders adds."""
    pace, training = prospect.pace, recipe.training
    lessons = {name: learned(past, name, how) for name in ("seconds", "memory_bytes")}
    step = prospect.tokens_per_step * pace.token_seconds + pace.update_seconds
    reading = (training.evaluations + 1) * prospect.look_tokens * pace.look_token_seconds
    answering = times(training.evaluations, _answering(prospect, work, len(work.answers), recipe))
    looks = plus(exactly(reading), answering)
    reference = prospect.reference_tokens * pace.look_token_seconds
    per_epoch = ceil(work.examples / training.batch_size)
    slower = lessons["seconds"].middle
    if training.minutes is None:
        steps = max(1, round((training.epochs or 1.0) * per_epoch))
        seconds = lessons["seconds"].applied(plus(exactly(steps * step + reference), looks))
    else:
        left = training.minutes * 60 - (looks.expected + reference) * slower
        steps = max(1, int(left / (step * slower)))
        seconds = plus(exactly(training.minutes * 60), Range(low=0, expected=0, high=looks.high * slower))
    asking = lessons["seconds"].applied(plus(_asking(prospect, work, recipe), _probing(prospect, work, recipe)))
    per_second = recipe.machine_usd_per_hour / 3600
    return Estimate(
        how=how,
        steps=steps,
        tokens_read=round(work.tokens_read * steps / per_epoch),
        tokens_trained=round(work.tokens_trained * steps / per_epoch),
        tokens_computed=round(prospect.tokens_per_step * steps),
        plan=prospect.plan,
        seconds=seconds,
        parts={"steps": steps * step * slower, "looks": looks.expected * slower, "reference": reference * slower},
        asking_seconds=asking,
        memory_bytes=lessons["memory_bytes"].applied(exactly(prospect.base_bytes + pace.held_bytes)),
        usd=times(per_second, seconds),
        decide_usd=times(per_second, plus(seconds, asking)),
        factors={name: lesson.middle for name, lesson in lessons.items()},
        assumptions=_assumptions(prospect, work, recipe, lessons, how),
    )


def _answering(prospect: "Prospect", work: Work, prompts: int, recipe: Recipe, longer: float = 1.0) -> Range:
    """Seconds to answer some prompts, each `longer` times as long as a question: as the right answers, or to the limit.

    Expected are the right answers' lengths: a look asks the tuned model.
    """
    if not prompts or not work.answers:
        return exactly(0.0)
    rows = min(prompts, recipe.evaluation.batch_size)
    mean = sum(work.answers) / len(work.answers)

    def seconds(longest: float, total: float) -> float:
        passes = max(longest, total / rows)
        wider = max(1.0, rows / prospect.rows)  # a pass was timed with fewer rows
        return prompts * prospect.pace.prompt_seconds * longer + passes * prospect.pace.pass_seconds * wider

    usual = seconds(max(work.answers), mean * prompts)
    return Range(low=usual, expected=usual, high=seconds(work.longest, float(work.longest * prompts)))


def _asking(prospect: "Prospect", work: Work, recipe: Recipe) -> Range:
    """All contenders of the model that is tuned, and the choices that are made for them on validation.

    Those that read what was retrieved read as much more; fixed examples are read once for all. A base model that was
    not tuned often talks to the limit. Every candidate of a choice is asked freely and held to a form, where there is
    one; whoever can be held is, as a rule, better so. Documents and remote models are left out, which is told.
    """
    example = work.tokens_read / max(1, work.examples)
    with_found = 1 + (recipe.retrieval.k or USUAL_KS[-1]) * example / max(1.0, work.question)
    forms = 2 if recipe.evaluation.constrained else 1
    ks = 1 if recipe.retrieval.k else len(USUAL_KS)
    shots = 2 * len(numbers_to(recipe.evaluation.shots))
    are_labels = recipe.evaluation.constrained and work.label_tokens > 0
    tests, held_only = work.tests, (work.tests if forms == 2 else 0)
    beside = len(work.answers) if are_labels else 0  # calibrated: a second way, for the form and around each best

    def trials(candidates: int) -> int:
        return answers_needed(forms * candidates, len(work.answers)) // forms

    asked = [  # (how much longer a prompt is, whether the model is tuned, free answers, answers held to a form)
        (1.0, False, tests, held_only + 2 * beside),  # zero-shot
        (1.0, False, trials(shots), trials(shots) + beside + tests),  # few-shot
        (1.0, False, trials(recipe.evaluation.trials), trials(recipe.evaluation.trials) + beside + tests),  # searched
        (with_found, False, trials(2 * ks), trials(2 * ks) + beside + tests),  # rag
        (1.0, True, tests, held_only + 2 * beside),  # tuned
        (with_found, True, trials(ks), trials(ks) + beside + tests),  # tuned+rag
    ]
    total = exactly(0.0)
    for longer, is_tuned, free, held in asked:
        one = _answering(prospect, work, free if are_labels else free + held, recipe, longer)
        expected = one.expected if is_tuned else (one.expected + one.high) / 2
        total = plus(total, Range(low=one.low, expected=expected, high=one.high))
        if are_labels:
            total = plus(total, _labelling(prospect, work, held, longer, is_tuned))
    return total


def _labelling(prospect: "Prospect", work: Work, prompts: int, longer: float, is_tuned: bool) -> Range:
    """Seconds to find the likeliest label for some prompts: all labels are read after each, by a model that is sure
    (a tuned one) a few of them."""
    read = work.label_tokens / max(1.0, work.question) * WITH_HEAD
    few, usual, all_of_them = (
        prompts * prospect.pace.prompt_seconds * (longer + share * read) for share in (SURE_READS, 0.5, 1.0)
    )
    return Range(low=few, expected=few if is_tuned else all_of_them, high=usual if is_tuned else all_of_them)


def _probing(prospect: "Prospect", work: Work, recipe: Recipe) -> Range:
    """General ability before and after: short questions, answers up to their limit or half of it."""
    if recipe.bar.max_forgetting is None or not work.tests:
        return exactly(0.0)
    items = probe_items()
    rows = min(len(items), recipe.evaluation.batch_size)
    passes = PROBE_TOKENS * ceil(len(items) / rows) * max(1.0, rows / prospect.rows) * prospect.pace.pass_seconds
    words = sum(len(item.prompt.split()) for item in items)
    reading = TOKENS_OF_A_WORD * words / max(1.0, work.question) * prospect.pace.prompt_seconds
    return times(2, Range(low=reading + passes / 2, expected=reading + passes, high=reading + passes))


def learned(past: Sequence[Run], name: str, how: How) -> Lesson:
    """What the newest finished runs teach about "seconds" or "memory_bytes"."""
    ratios = [
        run.estimate_error[name] * run.estimate.factors.get(name, 1.0)
        for run in past
        if run.estimate is not None and run.estimate.how == how and name in run.estimate_error
    ][:RUNS_LEARNED_FROM]
    low, high = SPREAD["memory_bytes" if name == "memory_bytes" else how]
    if not ratios:
        return Lesson(low, 1.0, high)
    middle = median(ratios)
    if len(ratios) == 1:  # one run says where the middle is, not how wide the interval is
        return Lesson(low * middle, middle, high * middle, 1)
    return Lesson(min(ratios) / MARGIN, middle, max(ratios) * MARGIN, len(ratios))


def errors_of(run: Run) -> dict[str, float]:
    """Actual / expected of a finished run; {} where that says nothing. For a time budget: of the time of one step.

    A training that ended early says nothing about its time.
    """
    estimate, result = run.estimate, run.result
    if estimate is None or result is None or result.status != "finished" or run.resumed or not result.steps:
        return {}
    memory = {"memory_bytes": round(result.peak_memory_bytes / max(estimate.memory_bytes.expected, 1.0), 4)}
    if result.ended_early:
        return memory
    is_timed = result.planned_steps is None
    slower = estimate.steps / result.steps if is_timed else result.seconds / max(estimate.seconds.expected, 1e-9)
    return {"seconds": round(slower, 4), **memory}


def _assumptions(
    prospect: "Prospect", work: Work, recipe: Recipe, lessons: Mapping[str, Lesson], how: How
) -> tuple[str, ...]:
    source = "a few layers of the model with random weights" if how == "quick" else "steps of the whole model"
    said = [
        f"timed on this machine as busy as it was just now, with {source}",
        "all steps are like the first 16",
        "low and expected: answers are as long as the right ones; high: all go to the limit of "
        f"{work.longest:,} tokens",
        f"a machine hour costs {recipe.machine_usd_per_hour:g} USD (machine_usd_per_hour)",
        "reading and preparing the data and loading the model are not counted",
    ]
    if recipe.retrieval.documents is not None or recipe.evaluation.remote:
        said.append("what documents and remote models add to deciding is not counted")
    if recipe.training.patience is not None and recipe.training.patience < recipe.training.evaluations:
        said.append(f"it goes to its end: {recipe.training.patience} looks in a row without gain would end it earlier")
    if prospect.unshared:
        said.append(prospect.unshared)
    if prospect.plan.checkpointing:
        said.append("activations are computed twice (checkpointing), because memory is short")
    for name, word in (("seconds", "time"), ("memory_bytes", "memory")):
        lesson = lessons[name]
        said.append(
            f"{word}: {lesson}, which is counted in" if lesson.runs > 1
            else f"{word}: corrected by the one run before on this machine" if lesson.runs
            else f"{word}: no estimate of a finished run on this machine to learn from yet; the interval is a guess"
        )  # fmt: skip
    return tuple(said)


def exactly(value: float) -> Range:
    """No doubt about it."""
    return Range(low=value, expected=value, high=value)


def plus(one: Range, other: Range) -> Range:
    """As if both went wrong together."""
    return Range(low=one.low + other.low, expected=one.expected + other.expected, high=one.high + other.high)


def times(factor: float, one: Range) -> Range:
    """All three, multiplied."""
    return Range(low=one.low * factor, expected=one.expected * factor, high=one.high * factor)
