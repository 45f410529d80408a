"""What asking takes, foreseen: looks at validation, all contenders with their choices, the general probe.

answers to n prompts in batches of B = n * prompt + passes * (pass + B * row)
passes = max(longest, sum of answers / B)

A choice reads several numbers of retrieved texts, and mostly the middle ones are taken, so their mean is counted. Each
contender answers a few questions alone, to measure the wait; where answers are labels, some train examples are asked
once more for the analysis.
"""

from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING

from tunesmith.baselines.choosing import answers_needed
from tunesmith.baselines.rag.candidates import USUAL_KS
from tunesmith.baselines.shots import numbers_to
from tunesmith.evaluation.forgetting.probe import PROBE_TOKENS, probe_items
from tunesmith.records import Range, Recipe
from tunesmith.records.estimate import exactly, scaled, total

if TYPE_CHECKING:
    from tunesmith.engine.pace import Prospect

LATENCIES = 5
"""Questions that each contender answers alone (`contest.py`)."""
BELIEFS = 1000
"""Train examples at most that the analysis asks a tuned model about (`findings.py`)."""
TOKENS_OF_A_WORD = 1.5  # of English, the marks of the chat template aside
WITH_HEAD = 1.5
"""A label's token is not only read, as a prompt's is, but looked up among all of the vocabulary."""
SURE_READS = 0.1
"""The share of the labels' tokens that a tuned model reads until it is sure (banking77: 0.03 s against 0.25)."""


@dataclass(frozen=True)
class Work:
    """What there is to do. `answers`: tokens of each validation answer, () where nothing is generated; `question`:
    tokens of a prompt on average; `tests`: examples that `decide` asks; `longest`: the limit of an answer;
    `label_tokens`: of all labels, what they begin with in common counted once (0: answers are no labels);
    `ways_to_show`: instructions that show the labels or the JSON; `own_prompts`: prompts of the user's own."""

    examples: int
    tokens_read: int
    tokens_trained: int
    answers: tuple[int, ...]
    question: float
    tests: int
    longest: int
    label_tokens: int = 0
    ways_to_show: int = 0
    own_prompts: int = 0


def answering(prospect: "Prospect", work: Work, prompts: int, recipe: Recipe, longer: float = 1.0) -> Range:
    """Seconds to answer some prompts, each `longer` times as long as a question: as the right answers, or to the limit.

    Expected are the right answers' lengths: a look asks the tuned model.
    """
    if not prompts or not work.answers:
        return exactly(0.0)
    rows = min(prompts, recipe.evaluation.batch_size)
    lengths = [min(answer, work.longest) for answer in work.answers]  # no answer is longer than the limit
    mean = sum(lengths) / len(lengths)

    def seconds(longest: float, tokens: float) -> float:
        passes = max(longest, tokens / rows)
        a_pass = prospect.pace.pass_seconds + rows * prospect.pace.pass_row_seconds
        return prompts * prospect.pace.prompt_seconds * longer + passes * a_pass

    usual = seconds(max(lengths), mean * prompts)
    return Range(low=usual, expected=usual, high=seconds(work.longest, float(work.longest * prompts)))


def asking(prospect: "Prospect", work: Work, recipe: Recipe) -> Range:
    """All contenders of the model that is tuned, and the choices that are made for them on validation.

    Those that read what was retrieved read as much more; fixed examples are read once for all. A base model that was
    not tuned often talks to the limit. Every candidate of a choice is asked freely and held to a form, where there is
    one; whoever can be held is, as a rule, better so. Documents and remote models are left out, which is told.
    """
    example = work.tokens_read / max(1, work.examples)
    with_found = 1 + (recipe.retrieval.k or fmean(USUAL_KS)) * example / max(1.0, work.question)
    forms = 2 if recipe.evaluation.constrained else 1
    ks = 1 if recipe.retrieval.k else len(USUAL_KS)
    shots = 2 * len(numbers_to(recipe.evaluation.shots))
    are_labels = recipe.evaluation.constrained and work.label_tokens > 0
    tests, held_only = work.tests, (work.tests if forms == 2 else 0)
    beside = len(work.answers) if are_labels else 0  # calibrated: a second way, for the form and around each best

    searched = tests if recipe.evaluation.trials else 0
    show, own = work.ways_to_show, work.own_prompts
    shown_too = len(work.answers) if show else 0  # the best shots once more, with the labels or the JSON

    def trials(candidates: int) -> int:
        return answers_needed(forms * candidates, len(work.answers)) // forms

    asked = [  # (how much longer a prompt is, whether the model is tuned, free answers, answers held to a form)
        (1.0, False, tests, held_only + 2 * beside),  # zero-shot
        (1.0, False, trials(show), trials(show) + (beside + tests if show else 0)),  # shown the labels or the JSON
        (1.0, False, own * trials(1), own * (trials(1) + beside + tests)),  # prompts of the user's own
        (1.0, False, trials(shots) + shown_too, trials(shots) + beside + tests + shown_too),  # few-shot
        (
            1.0,
            False,
            trials(recipe.evaluation.trials),
            trials(recipe.evaluation.trials) + beside + searched,
        ),  # searched
        (with_found, False, trials(2 * ks), trials(2 * ks) + beside + tests),  # rag
        (1.0, True, tests, held_only + 2 * beside),  # tuned
        (with_found, True, trials(ks), trials(ks) + beside + tests),  # tuned+rag
    ]
    parts = []
    for longer, is_tuned, free, held in asked:
        one = answering(prospect, work, free if are_labels else free + held, recipe, longer)
        expected = one.expected if is_tuned else (one.expected + one.high) / 2
        parts.append(Range(low=one.low, expected=expected, high=one.high))
        if are_labels:
            parts.append(_labelling(prospect, work, held, longer, is_tuned))
        for _ in range(min(LATENCIES, len(work.answers), tests)):
            parts.append(answering(prospect, work, 1, recipe, longer))
    if are_labels and tests:
        asked_again = _labelling(prospect, work, min(BELIEFS, work.examples), 1.0, is_tuned=True)
        parts.append(Range(low=0.0, expected=asked_again.expected / 2, high=asked_again.high))
    return total(parts)


def _labelling(prospect: "Prospect", work: Work, prompts: int, longer: float, is_tuned: bool) -> Range:
    """Seconds to find the likeliest label for some prompts: all labels are read after each, by a model that is sure
    (a tuned one) a few of them."""
    read = work.label_tokens / max(1.0, work.question) * WITH_HEAD
    few, usual, all_of_them = (
        prompts * prospect.pace.prompt_seconds * (longer + share * read) for share in (SURE_READS, 0.5, 1.0)
    )
    return Range(low=few, expected=few if is_tuned else all_of_them, high=usual if is_tuned else all_of_them)


def probing(prospect: "Prospect", work: Work, recipe: Recipe) -> Range:
    """General ability before and after: short questions, answers up to their limit or half of it."""
    if recipe.bar.max_forgetting is None or not work.tests:
        return exactly(0.0)
    items = probe_items()
    rows = min(len(items), recipe.evaluation.batch_size)
    a_pass = prospect.pace.pass_seconds + rows * prospect.pace.pass_row_seconds
    passes = PROBE_TOKENS * ceil(len(items) / rows) * a_pass
    words = sum(len(item.prompt.split()) for item in items)
    reading = TOKENS_OF_A_WORD * words / max(1.0, work.question) * prospect.pace.prompt_seconds
    return scaled(Range(low=reading + passes / 2, expected=reading + passes, high=reading + passes), 2)
