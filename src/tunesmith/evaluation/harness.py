"""Evaluation: every contender answers the same test examples, and the same code scores all answers.

Answering and scoring are separate: `collect_answers` needs a model and produces answers;
`evaluate_answers` needs only answers, so a decision can be verified from the files of a run.

Design decisions:
- A failed answer (`error` set) has no score, nor has one that the scorer could not judge
  (`unscored`). Both are counted in `Quantity.failed` and excluded from n, so the interval widens;
  neither is silently scored 0. An answer truncated at the token limit is an answer: a user would
  get no more.
- Reasoning is removed from answers and references before scoring (`data/final_answer.py`), for
  every scorer and judge alike; an answer that consists of reasoning only is an empty answer. The
  contender's description says how many there were.
- Comparisons are paired: they use the examples that both contenders answered, and report their
  number.
- All pairs are compared, in the order of the contenders, on the primary metric. Each p-value is
  that of its single comparison and agrees with its interval; the caller that selects among multiple
  comparisons corrects for their number, because only it knows which ones were candidates
  (decision/).
- The cost of a request on this machine is computed from its tokens, with rates fitted to all
  contenders (`machine_time.py`).
- Seconds per request measure throughput: wall time over requests, including failed ones, in batches
  as they were sent. Time that belongs to no single answer (retrieval, a shared prefix) is
  distributed evenly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from tunesmith.data.final_answer import explain_reasoning, extract_final_answer
from tunesmith.errors import DataError, UsageError, truncate_list
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.judge.caching_completer import sum_usage
from tunesmith.evaluation.machine_time import estimate_seconds, fit_machine_time
from tunesmith.evaluation.scorers.scorer_protocol import (
    MAX_OUTLIER_FRACTION,
    ParsingScorer,
    Scorer,
    ScoringFailure,
    ScoringInput,
    find_reference_error,
    score_items,
)
from tunesmith.evaluation.stats.bootstrap import bootstrap_interval
from tunesmith.evaluation.stats.intervals import Interval, mean_interval
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.evaluation.stats.power_analysis import estimate_required_n
from tunesmith.evaluation.usage_meter import UsageMeter
from tunesmith.records import (
    Answer,
    Comparison,
    Completer,
    Completion,
    Contender,
    ContenderSpec,
    Evaluation,
    Example,
    InferenceConfig,
    LogprobModel,
    MachineTime,
    ProgressCallback,
    Quantity,
    name_places,
)

MAX_EXCERPT_CHARACTERS = 60
"""Length of the quoted excerpt of the first answer that cannot be parsed."""
ContenderProgress = Callable[[str, int, int], None]
"""Called with (contender, answers ready, answers in total)."""


@dataclass(frozen=True, slots=True)
class RunnableContender:
    """A contender before the evaluation. `inference_config` describes it as data, if it can be
    served later without the training data.

    `reference_model` computes the likelihood of reference answers, if that is informative for this
    contender; `read_notes` are the limitations of its service that showed so far.
    """

    spec: ContenderSpec
    completer: Completer
    inference_config: InferenceConfig | None = None
    reference_model: LogprobModel | None = None
    read_notes: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True, slots=True)
class Task:
    """What all contenders share. `seed` is for the bootstrap; `contaminated_ids` are the ids of the
    test examples that resemble training data."""

    name: str
    examples: Sequence[Example]
    scorer: Scorer
    scorer_reason: str
    machine_usd_per_hour: float
    seed: int = 0
    contaminated_ids: frozenset[str] = frozenset()

    @property
    def groups(self) -> list[str] | None:
        """The group of each example, with a group of its own for an example without one; None if no
        two examples share a group."""
        names = [f"(alone) {e.id}" if e.group is None else e.group for e in self.examples]
        return names if len(set(names)) < len(names) else None


def evaluate_contenders(
    contenders: Sequence[RunnableContender], task: Task, progress: ContenderProgress | None = None
) -> tuple[Evaluation, dict[str, list[Answer]]]:
    """Answer and score. Returns the evaluation and each contender's answers.

    Errors: `DataError`, see `check_task`.
    """
    check_task(task)
    _check_names([entrant.spec.name for entrant in contenders])
    # One after the other: concurrent contenders would distort each other's time and memory.
    asked = [collect_answers(entrant, task, progress) for entrant in contenders]
    return evaluate_answers(asked, task), {one.name: list(one.answers) for one in asked}


def check_task(task: Task) -> None:
    """Checks before anything is spent: there are examples, each ends with an answer, and the scorer
    accepts each as a reference.

    Errors: `DataError`.
    """
    if not task.examples:
        raise DataError(
            "no-test-examples",
            "no examples to evaluate on",
            hint="use more data or a larger test split",
        )
    without = [
        example
        for example in task.examples
        if not example.messages or example.messages[-1].role != "assistant"
    ]
    if without:
        raise DataError(
            "not-a-question",
            f"{len(without):,} test examples have no question and answer",
            at=format_example_places(without),
            got="plain text, or a conversation without an answer",
            hint=(
                "set the question and answer columns with --columns; or remove these examples "
                "from the test set"
            ),
        )
    _check_references(task)


def format_example_places(examples: Sequence[Example]) -> str:
    """The examples' locations, file by file, in the order of their lines."""
    return name_places(
        sorted((one.place for one in examples), key=lambda at: (at[0].file if at[0] else "", at[1]))
    )


def _check_references(task: Task) -> None:
    """Errors: `DataError` if the scorer rejects more than a few references
    (`MAX_OUTLIER_FRACTION`, at least one)."""
    faults = [(e, _find_answer_error(e.answer, task.scorer)) for e in task.examples]
    faulty = [(example, fault) for example, fault in faults if fault is not None]
    if len(faulty) > max(1, MAX_OUTLIER_FRACTION * len(task.examples)):
        raise DataError(
            "unfit-references",
            f"{len(faulty):,} of {len(task.examples):,} test examples have an answer that the "
            f"scorer {task.scorer.name} cannot use",
            at=format_example_places([example for example, _ in faulty]),
            got=f"{faulty[0][0].answer[:80]!r}: {faulty[0][1]}",
            hint="fix them; or choose another scorer: --set evaluation.scorer=normalised",
        )


def _find_answer_error(answer: str, scorer: Scorer) -> str | None:
    final = extract_final_answer(answer)
    if answer.strip() and not final.strip():
        return "it is reasoning without a final answer"
    return find_reference_error(scorer, final)


def collect_answers(
    contender: RunnableContender,
    task: Task,
    progress: ContenderProgress | None = None,
    save: Callable[[ContenderAnswers], None] | None = None,
) -> ContenderAnswers:
    """One contender's scored answers, in the order of the examples. `save` receives them before
    they are scored, because scoring may take longer than answering."""
    name, callback = contender.spec.name, progress
    report: ProgressCallback | None = (
        (lambda ready, total: callback(name, ready, total)) if callback else None
    )
    with UsageMeter() as meter:
        completions = contender.completer.complete(
            [example.prompt for example in task.examples], report
        )
    seconds = sum(completion.seconds for completion in completions)
    # Wall time that no answer accounts for (retrieval, batching) is distributed evenly.
    rest = max(0.0, meter.seconds - seconds) / max(len(completions), 1)
    answers = build_unscored_answers(completions, task.examples, rest)
    answered = ContenderAnswers(contender.spec, answers, meter.build_usage(answers))
    if save is not None:
        save(answered)
    return score_answers(answered, task)


def score_answers(asked: ContenderAnswers, task: Task) -> ContenderAnswers:
    """The contender with its answers scored."""
    answers, scorer = asked.answers, task.scorer
    items = [
        ScoringInput(
            extract_final_answer(answer.text),
            extract_final_answer(example.answer),
            example.question,
        )
        for answer, example in zip(answers, task.examples, strict=True)
        if answer.error is None
    ]
    scored = iter(score_items(scorer, items))
    return replace(
        asked,
        answers=[
            one if one.error is not None else _add_score(one, next(scored)) for one in answers
        ],
    )


def _add_score(answer: Answer, score: dict[str, float] | ScoringFailure) -> Answer:
    changes = (
        {"scoring_error": score.reason} if isinstance(score, ScoringFailure) else {"scores": score}
    )
    # Not `model_copy`, which would skip the validation of scores.
    return Answer.model_validate({**dict(answer), **changes})


def build_unscored_answers(
    completions: Sequence[Completion], examples: Sequence[Example], overhead_seconds: float = 0.0
) -> list[Answer]:
    """Completions as answers; `overhead_seconds` is added to each for time that belongs to no
    single answer."""
    return [
        Answer(
            example=example.id,
            text=completion.text,
            scores={},
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            seconds=completion.seconds + overhead_seconds,
            is_complete=completion.finished,
            error=completion.error,
            tokens_shared=completion.tokens_shared,
            mode=completion.mode,
        )
        for example, completion in zip(examples, completions, strict=True)
    ]


def score_completions(
    completions: Sequence[Completion], examples: Sequence[Example], scorer: Scorer
) -> list[dict[str, float] | ScoringFailure]:
    """One entry per completion: its scores, a scoring failure, or {} if the completion failed."""
    items = [
        ScoringInput(
            extract_final_answer(completion.text),
            extract_final_answer(example.answer),
            example.question,
        )
        for completion, example in zip(completions, examples, strict=True)
        if completion.error is None
    ]
    scored = iter(score_items(scorer, items))
    return [{} if completion.error is not None else next(scored) for completion in completions]


def compute_primary_scores(
    completions: Sequence[Completion], examples: Sequence[Example], scorer: Scorer
) -> list[float | None]:
    """Each answer's score on the primary metric; None without an answer or a score."""
    scores = score_completions(completions, examples, scorer)
    return [score.get(scorer.metric) if isinstance(score, dict) else None for score in scores]


def evaluate_answers(answered: Sequence[ContenderAnswers], task: Task) -> Evaluation:
    """Score existing answers. Errors: `DataError` if they do not belong to these examples."""
    expected = [example.id for example in task.examples]
    _check_names([contender.name for contender in answered])
    for contender in answered:
        # Same ids in the same order: everything below pairs answers and examples by position.
        if [answer.example for answer in contender.answers] != expected:
            raise DataError(
                "other-answers",
                f"answers of {contender.name!r} do not match these test examples",
                got=f"{len(contender.answers):,} answers, {len(expected):,} examples",
                hint="evaluate the contender again on these examples",
            )
    # Fitted once over all contenders; each contender's cost is then computed from its work.
    machine = fit_machine_time(answered)
    return Evaluation(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=tuple(expected),
        contenders=tuple(_summarize_contender(contender, task, machine) for contender in answered),
        comparisons=tuple(
            compare_contenders(a, b, task.scorer.metric, task.groups)
            for a, b in combinations(answered, 2)
        ),
        machine_usd_per_hour=task.machine_usd_per_hour,
        contaminated=tuple(
            example.id for example in task.examples if example.id in task.contaminated_ids
        ),
        clusters=len(set(task.groups)) if task.groups else None,
        judging=(
            sum_usage(judging)
            if (judging := [one.judge_usage for one in answered if one.judge_usage])
            else None
        ),
        machine=machine,
    )


def compare_contenders(
    a: ContenderAnswers, b: ContenderAnswers, metric: str, groups: Sequence[str] | None = None
) -> Comparison:
    """The paired difference a - b over the examples that both answered; `groups` names the group of
    each example."""
    both = [
        i
        for i, (x, y) in enumerate(zip(a.answers, b.answers, strict=True))
        if x.scores and y.scores
    ]
    a_N, b_N = (
        np.array([asked.answers[i].scores[metric] for i in both], dtype=np.float64)
        for asked in (a, b)
    )
    kept = None if groups is None else [groups[i] for i in both]
    difference = paired_difference(a_N, b_N, kept)
    # Significant at 5 % if and only if the interval excludes 0; only otherwise more examples help.
    is_told = difference.low > 0 or difference.high < 0
    return Comparison(
        a=a.name,
        b=b.name,
        metric=metric,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        p=difference.p,
        n=difference.n,
        required_n=None if is_told else estimate_required_n(a_N - b_N, kept),
        test=difference.test,
        clusters=difference.clusters,
    )


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            "same-name",
            "duplicate contender names",
            got=f"{truncate_list(twice)} twice",
            hint="give each contender its own name",
        )


def _summarize_contender(
    asked: ContenderAnswers, task: Task, machine: MachineTime | None
) -> Contender:
    requests = len(asked.answers)
    profile = asked.spec
    seconds = sum(answer.seconds for answer in asked.answers) / requests
    tokens_in = sum(answer.tokens_in for answer in asked.answers) / requests
    tokens_out = sum(answer.tokens_out for answer in asked.answers) / requests
    usd_per_second = task.machine_usd_per_hour / 3600
    price = profile.token_price
    charged_usd = asked.usage.usd_charged if asked.usage else None
    # A provider's price is exact; time on this machine is converted to USD below.
    charged = price.compute_usd(tokens_in, tokens_out) if price else (charged_usd or 0.0) / requests
    metrics = _compute_metrics(asked, task)
    worked = (
        seconds
        if machine is None or profile.traits.is_external
        else estimate_seconds(asked, machine) / requests
    )
    return Contender(
        name=profile.name,
        kind=profile.kind,
        description=_describe_contender(asked, task.scorer),
        metrics=metrics,
        seconds_per_request=seconds,
        tokens_in_per_request=tokens_in,
        tokens_out_per_request=tokens_out,
        usd_per_1000=1000
        * (charged if price or charged_usd is not None else worked * usd_per_second),
        setup_seconds=profile.setup_seconds,
        setup_usd=profile.setup_seconds * usd_per_second + profile.setup_usd_charged,
        selection_notes=profile.selection_notes,
        score_without_contaminated=_score_without_contaminated(asked, task),
        usage=asked.usage,
        token_price=price,
        retrieval_hit_rate=profile.retrieval_hit_rate,
    )


def explain_answers(answers_given: Sequence[Answer], scorer: Scorer) -> str:
    """Facts about these answers other than their correctness, in words without a final period;
    empty if there are none: how many were scored without their reasoning, were truncated, or cannot
    be parsed by the scorer."""
    answers = [answer for answer in answers_given if answer.error is None]
    parts = [explain_reasoning([answer.text for answer in answers]).rstrip(".")]
    cut = sum(not answer.is_complete for answer in answers)
    if cut:
        parts.append(f"{cut:,} of {len(answers):,} answers were cut at the token limit")
    if isinstance(scorer, ParsingScorer):
        without = [
            answer.text
            for answer in answers
            if answer.scores and not scorer.can_parse(extract_final_answer(answer.text))
        ]
        if without:
            first = " ".join(without[0].split())[:MAX_EXCERPT_CHARACTERS]
            shown = f"the first: {first!r}" if first else "the first is empty"
            parts.append(
                f"{len(without):,} of {len(answers):,} answers {scorer.failure_text} ({shown}) "
                "and count as wrong"
            )
    return ", ".join(filter(None, parts))


def _describe_contender(asked: ContenderAnswers, scorer: Scorer) -> str:
    """The contender's description, with facts about its answers."""
    facts = explain_answers(asked.answers, scorer)
    return "; ".join(filter(None, (asked.spec.description, f"{facts}" if facts else "")))


def _score_without_contaminated(asked: ContenderAnswers, task: Task) -> Quantity | None:
    """The primary metric over the uncontaminated examples; None if no example is contaminated, or
    all are."""
    kept = [i for i, example in enumerate(task.examples) if example.id not in task.contaminated_ids]
    if not task.contaminated_ids or not kept:
        return None
    fewer = replace(task, examples=[task.examples[i] for i in kept], contaminated_ids=frozenset())
    return _compute_mean(
        replace(asked, answers=[asked.answers[i] for i in kept]), task.scorer.metric, fewer.groups
    )


def _compute_metrics(asked: ContenderAnswers, task: Task) -> dict[str, Quantity]:
    """Every metric with its interval, the primary one first."""
    names = dict.fromkeys(
        [task.scorer.metric, *(name for answer in asked.answers for name in answer.scores)]
    )
    groups = task.groups
    metrics = {name: _compute_mean(asked, name, groups) for name in names}
    which = [i for i, answer in enumerate(asked.answers) if answer.scores]
    for name, metric in task.scorer.corpus_metrics.items():
        counts_ND = np.array(
            [
                metric.count(
                    extract_final_answer(asked.answers[i].text),
                    extract_final_answer(task.examples[i].answer),
                )
                for i in which
            ]
        )
        # A corpus metric has no per-example scores, so only the bootstrap gives its interval.
        interval = bootstrap_interval(
            counts_ND, metric.combine, task.seed, _select_groups(groups, which)
        )
        metrics[name] = _build_quantity(interval, len(asked.answers) - len(which))
    return metrics


def _compute_mean(asked: ContenderAnswers, name: str, groups: Sequence[str] | None) -> Quantity:
    """The mean of one metric over the answers that have it."""
    which = [i for i, answer in enumerate(asked.answers) if name in answer.scores]
    # Answers without this score count as failed, not as 0.
    interval = mean_interval(
        [asked.answers[i].scores[name] for i in which], _select_groups(groups, which)
    )
    return _build_quantity(interval, len(asked.answers) - len(which))


def _select_groups(groups: Sequence[str] | None, which: Sequence[int]) -> list[str] | None:
    return None if groups is None else [groups[i] for i in which]


def _build_quantity(interval: Interval, failed: int) -> Quantity:
    return Quantity(
        value=interval.value, low=interval.low, high=interval.high, n=interval.n, n_failed=failed
    )
