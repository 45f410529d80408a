"""Forecast of evaluation time: validation passes, all contenders with their choices, the
general-ability probe.

    answers to n prompts in batches of B = n * prompt + passes * (pass + B * row)
    passes = max(longest, sum of answers / B)
    prompt = computed tokens * token + pairs * pair
    row = sequence + tokens before it * pair

Each token attends to all before it: of a prompt of N tokens, of which C are computed because a
beginning is shared, those are C * N - C^2 / 2 pairs. That is little for most models and prompts,
and nearly all for prompts of 1,000 tokens and a model of 32 dimensions.

A choice tries several numbers of retrieved texts and mostly takes a middle one, so the mean over
them is counted. Each contender answers a few questions alone, to measure latency; if answers are
labels, some training examples are predicted once more for the error analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from tunesmith.contenders.evaluation_runner import MAX_LATENCY_REQUESTS
from tunesmith.contenders.prompting.shot_set_candidates import list_powers_of_two
from tunesmith.contenders.retrieval.retrieval_candidates import DEFAULT_KS
from tunesmith.contenders.successive_halving import count_required_answers
from tunesmith.evaluation.forgetting.probe import MAX_PROBE_TOKENS, load_probe_items
from tunesmith.records import EstimateInterval, Recipe
from tunesmith.records.contender_kinds import ContenderKind, list_contender_kinds
from tunesmith.records.training_estimate import make_point_interval, scale_interval, sum_intervals

if TYPE_CHECKING:
    from tunesmith.engine.machine_measurement import Throughput, TrainingProfile

MAX_TRAIN_PREDICTIONS = 1000
"""Maximum number of training examples predicted for the error analysis (`conclusion.py`)."""
TOKENS_PER_WORD = 1.5  # for English text, without the chat template's tokens
LM_HEAD_FACTOR = 1.5
"""Cost of a label's token relative to a prompt's: it also needs the logits over the vocabulary."""
CONFIDENT_READ_FRACTION = 0.1
"""Fraction of the labels' tokens that a tuned model reads until one label is certain (banking77:
0.03 s against 0.25).
"""


@dataclass(frozen=True)
class Workload:
    """The amount of work.

    `answer_lengths`: tokens of each validation answer, () if none are generated; `prompt_tokens`:
    mean tokens of a prompt; `test_examples`: examples that `decide` evaluates; `max_new_tokens`:
    limit of an answer; `label_tokens`: tokens of all labels with common prefixes counted once (0:
    answers are not labels); `format_instructions`: instructions that show the labels or the JSON
    format; `custom_prompts`: the user's own prompts.
    """

    examples: int
    tokens_read: int
    tokens_trained: int
    answer_lengths: tuple[int, ...]
    prompt_tokens: float
    test_examples: int
    max_new_tokens: int
    label_tokens: int = 0
    format_instructions: int = 0
    custom_prompts: int = 0


class Timed(Protocol):
    """Anything with measured rates and the seconds of a prompt."""

    @property
    def throughput(self) -> "Throughput":
        """The rates."""
        ...


def estimate_generation_seconds(
    profile: Timed,
    workload: Workload,
    prompts: int,
    recipe: Recipe,
    longer: Sequence[float] = (1.0,),
    shown_tokens: float = 0.0,
) -> EstimateInterval:
    """Seconds to answer `prompts` prompts, in equal parts each of `longer` times as long as a
    question, behind `shown_tokens` that all of them share; the high end lets every answer run to
    the limit.

    The expected lengths are those of the reference answers: a validation pass runs the model being
    tuned.
    """
    if not prompts or not workload.answer_lengths:
        return make_point_interval(0.0)
    rows = min(prompts, recipe.evaluation.batch_size)
    lengths = [min(answer, workload.max_new_tokens) for answer in workload.answer_lengths]
    mean = sum(lengths) / len(lengths)
    pace = profile.throughput
    reading = fmean(estimate_reading_seconds(pace, workload, one, shown_tokens) for one in longer)
    context = workload.prompt_tokens * fmean(longer) + shown_tokens

    def estimate_seconds(longest: float, tokens: float) -> float:
        # Waiting prompts take the place of finished sequences, so the longest answer or the total
        # work sets the number of forward passes.
        passes = max(longest, tokens / rows)
        a_row = pace.pass_sequence_seconds + context * pace.pair_seconds
        return prompts * reading + passes * (pace.pass_seconds + rows * a_row)

    usual = estimate_seconds(max(lengths), mean * prompts)
    return EstimateInterval(
        low=usual,
        expected=usual,
        high=estimate_seconds(workload.max_new_tokens, float(workload.max_new_tokens * prompts)),
    )


def estimate_reading_seconds(
    pace: "Throughput", workload: Workload, longer: float, shown_tokens: float = 0.0
) -> float:
    """Seconds to read one prompt, `longer` times as long as a question, behind `shown_tokens` that
    are computed once for all prompts.
    """
    tokens = longer * workload.prompt_tokens
    rate = pace.validation_token_seconds
    computed = min(tokens, longer * pace.prompt_seconds / rate) if rate else tokens
    pairs = computed * (tokens + shown_tokens) - computed**2 / 2
    return longer * pace.prompt_seconds + pairs * pace.pair_seconds


@dataclass(frozen=True)
class ContenderWork:
    """One contender, or some that are alike.

    Its prompts are, in equal parts, each of `longer` times as long as a question, behind
    `shown_tokens` of fixed examples. It gives `free` unconstrained and `held` constrained answers,
    of which `tested` are to test examples and the others to choose on validation.
    """

    kind: ContenderKind
    longer: tuple[float, ...]
    free: int
    held: int
    tested: int
    shown_tokens: float = 0.0

    @property
    def choice_share(self) -> float:
        """The fraction of its answers that serve a choice."""
        return 1.0 - self.tested / max(1, self.free + self.held)


def estimate_evaluation_seconds(
    profile: "TrainingProfile", workload: Workload, recipe: Recipe
) -> EstimateInterval:
    """Seconds for all contenders of the local model and their choices on validation, and for what
    follows the last answer.

    Contenders with retrieved texts read that much more; fixed examples are read once for all. An
    untuned base model often generates up to the limit. Every candidate of a choice is run
    unconstrained and, if there is one, with the constraint; the constrained variant usually wins.
    Documents and remote models are not included, which the estimate states.
    """
    work = list_contender_work(workload, recipe)
    parts = [estimate_contender_seconds(profile, workload, recipe, one) for one in work]
    return sum_intervals([*parts, estimate_prediction_seconds(profile, workload, recipe)])


def estimate_contender_seconds(
    profile: "TrainingProfile", workload: Workload, recipe: Recipe, work: ContenderWork
) -> EstimateInterval:
    """Seconds for the choice and the test of one contender, and for its single requests."""
    are_labels, is_tuned = _are_labels(workload, recipe), work.kind.is_trained
    prompts = work.free if are_labels else work.free + work.held
    form = (recipe, work.longer, work.shown_tokens)
    one = estimate_generation_seconds(profile, workload, prompts, *form)
    # An untuned model's answers are expected halfway between the reference lengths and the limit.
    expected = one.expected if is_tuned else (one.expected + one.high) / 2
    parts = [EstimateInterval(low=one.low, expected=expected, high=one.high)]
    if are_labels:
        parts.append(
            _estimate_labeling_seconds(
                profile, workload, work.held, work.longer, is_tuned, work.shown_tokens
            )
        )
    alone = estimate_generation_seconds(profile, workload, 1, *form)
    singles = min(MAX_LATENCY_REQUESTS, len(workload.answer_lengths), workload.test_examples)
    return sum_intervals([*parts, scale_interval(alone, singles)])


def estimate_prediction_seconds(
    profile: "TrainingProfile", workload: Workload, recipe: Recipe
) -> EstimateInterval:
    """Seconds to predict train labels again for the error analysis, the last work of a model."""
    if not _are_labels(workload, recipe) or not workload.test_examples:
        return make_point_interval(0.0)
    again = _estimate_labeling_seconds(
        profile, workload, min(MAX_TRAIN_PREDICTIONS, workload.examples), (1.0,), is_tuned=True
    )
    return EstimateInterval(low=0.0, expected=again.expected / 2, high=again.high)


def list_contender_work(workload: Workload, recipe: Recipe) -> list[ContenderWork]:
    """The work of all contenders of the local model, from simple to complex."""
    return [
        one for kind in list_contender_kinds() for one in _list_kind_work(kind, workload, recipe)
    ]


def _are_labels(workload: Workload, recipe: Recipe) -> bool:
    return recipe.evaluation.constrained and workload.label_tokens > 0


def _list_kind_work(kind: ContenderKind, workload: Workload, recipe: Recipe) -> list[ContenderWork]:
    """The work of the contenders of a kind."""
    has_form = workload.label_tokens > 0 or workload.format_instructions > 0
    forms = 2 if recipe.evaluation.constrained and has_form else 1
    tests, validation = workload.test_examples, len(workload.answer_lengths)
    # The calibrated labels are a second constraint, tried for zero-shot and around each best
    # candidate.
    beside = validation if _are_labels(workload, recipe) else 0

    def count_trials(candidates: int) -> int:
        return count_required_answers(forms * candidates, validation) // forms

    def choose(
        candidates: int, longer: tuple[float, ...] = (1.0,), more: int = 0, shown: float = 0.0
    ) -> ContenderWork:
        """A choice among candidates, unconstrained and constrained, and the test."""
        trials = count_trials(candidates) + more
        held = trials + beside if forms == 2 else 0
        return ContenderWork(kind, longer, trials, held + tests, tests, shown)

    if kind.is_external:
        return []
    show, own, trials = (
        workload.format_instructions,
        workload.custom_prompts,
        recipe.evaluation.prompt_trials,
    )
    example = workload.tokens_read / max(1, workload.examples)
    if kind.uses_retrieval:
        ks = (recipe.retrieval.top_k,) if recipe.retrieval.top_k else DEFAULT_KS
        with_found = tuple(1 + k * example / max(1.0, workload.prompt_tokens) for k in ks)
        # the tuned model reads bare questions, as in training; any other is also tried with an
        # instruction
        return [choose(len(ks) if kind.is_trained else 2 * len(ks), with_found)]
    if kind.shows_examples:
        counts = list_powers_of_two(recipe.evaluation.max_shots)
        shots, shown_tokens = 2 * len(counts), example * fmean(counts or (0,))
        shown_too = validation if show else 0  # the best shots again, with the format shown
        tested = tests if trials else 0
        searched = count_trials(trials)
        held = searched + beside if forms == 2 else 0
        return [
            choose(shots, more=shown_too, shown=shown_tokens),
            ContenderWork(kind, (1.0,), searched, held + tested, tested, shown_tokens),
        ]
    tested = tests if forms == 2 else 0
    bare = [ContenderWork(kind, (1.0,), tests, tested + 2 * beside, tests + tested)]
    if not kind.takes_custom_prompts:
        return bare
    tested = tests if show else 0
    held = (count_trials(show) + beside if forms == 2 else 0) if show else 0
    one = choose(1)
    return [
        *bare,
        ContenderWork(kind, (1.0,), count_trials(show), held + tested, tested),
        ContenderWork(kind, (1.0,), own * one.free, own * one.held, own * one.tested),
    ]


def _estimate_labeling_seconds(
    profile: "TrainingProfile",
    workload: Workload,
    prompts: int,
    longer: Sequence[float],
    is_tuned: bool,
    shown_tokens: float = 0.0,
) -> EstimateInterval:
    """Seconds to find the most likely label for some prompts: all labels are read after each
    prompt; a confident (tuned) model needs only a few of them.
    """
    pace = profile.throughput
    read = workload.label_tokens / max(1.0, workload.prompt_tokens) * LM_HEAD_FACTOR
    context = workload.prompt_tokens * fmean(longer) + shown_tokens
    labels = read * pace.prompt_seconds + workload.label_tokens * context * pace.pair_seconds
    prompt = fmean(estimate_reading_seconds(pace, workload, one, shown_tokens) for one in longer)
    few, usual, all_of_them = (
        prompts * (prompt + share * labels) for share in (CONFIDENT_READ_FRACTION, 0.5, 1.0)
    )
    return EstimateInterval(
        low=few, expected=few if is_tuned else all_of_them, high=usual if is_tuned else all_of_them
    )


def estimate_probe_seconds(
    profile: "TrainingProfile", workload: Workload, recipe: Recipe
) -> EstimateInterval:
    """Seconds of the general-ability probe before and after tuning: short questions, answers up to
    their limit or half of it.
    """
    if recipe.requirements.max_forgetting is None or not workload.test_examples:
        return make_point_interval(0.0)
    items = load_probe_items()
    rows = min(len(items), recipe.evaluation.batch_size)
    a_pass = profile.throughput.pass_seconds + rows * profile.throughput.pass_sequence_seconds
    passes = MAX_PROBE_TOKENS * ceil(len(items) / rows) * a_pass
    words = sum(len(item.prompt.split()) for item in items)
    reading = (
        TOKENS_PER_WORD
        * words
        / max(1.0, workload.prompt_tokens)
        * profile.throughput.prompt_seconds
    )
    return scale_interval(
        EstimateInterval(
            low=reading + passes / 2, expected=reading + passes, high=reading + passes
        ),
        2,
    )
