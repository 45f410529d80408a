"""Evaluate: every contender answers the same test examples, every answer is scored by the same lines.

Asking and judging are apart: `ask` needs a model and makes answers; `evaluate_answers` needs only answers, so a
decision can be checked again from the files of a run.

What is decided here:
- A failed answer (`error` set) has no score, nor has one that the scorer could not judge (`unscored`). They are counted
  in `Quantity.failed` and left out of n, so the interval widens; neither is scored 0 in silence. An answer cut at
  the token limit is an answer: a user would get no more.
- Reasoning is taken off answers and references before they are scored (`data/final_answer.py`), for every scorer and
  judge alike; an answer that is nothing but reasoning is an empty answer. It is counted in what the contender says of
  itself.
- Comparisons are paired: they use the examples that both contenders answered, and say how many.
- All pairs are compared, in the order of the contenders, on the deciding metric. Each p value is that of its own
  comparison and agrees with its interval; whoever picks among several comparisons corrects for their number, because
  only the picker knows which ones were in play (decision/).
- What a request costs on this machine follows from its tokens, by rates fitted to all contenders
(`fit_machine_time.py`).
- Seconds per request are throughput: wall time over requests, failed ones included, in batches as they were asked.
  What no single answer took (retrieval, a shared beginning) is spread over all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from tunesmith.data.final_answer import explain_reasoning, extract_final_answer
from tunesmith.errors import DataError, UsageError, truncate_list
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
    MachineTime,
    ProgressCallback,
    Quantity,
    Usage,
    name_places,
)

MAX_EXCERPT_CHARACTERS = 60
"""Of the first answer that holds nothing to compare."""
ContenderProgress = Callable[[str, int, int], None]
"""Called with (contender, answers ready, answers wanted)."""


@dataclass(frozen=True, slots=True)
class RunnableContender:
    """A contender before it is asked; `serving` says how it is, where that can be done again without the data."""

    spec: ContenderSpec
    completer: Completer
    inference_config: InferenceConfig | None = None


@dataclass(frozen=True, slots=True)
class ContenderAnswers:
    """A contender after it was asked: its answers, in the order of the examples, what that and judging them took."""

    spec: ContenderSpec
    answers: Sequence[Answer]
    usage: Usage | None = None
    judge_usage: Usage | None = None

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.spec.name


@dataclass(frozen=True, slots=True)
class Task:
    """What all contenders share. `seed` is that of the bootstrap; `leaked` the ids of examples that leaked."""

    name: str
    examples: Sequence[Example]
    scorer: Scorer
    scorer_reason: str
    machine_usd_per_hour: float
    seed: int = 0
    contaminated_ids: frozenset[str] = frozenset()

    @property
    def groups(self) -> list[str] | None:
        """The group of each example, an example without one by itself; None where no two stand together."""
        names = [f"(alone) {e.id}" if e.group is None else e.group for e in self.examples]
        return names if len(set(names)) < len(names) else None


def evaluate_contenders(
    contenders: Sequence[RunnableContender], task: Task, progress: ContenderProgress | None = None
) -> tuple[Evaluation, dict[str, list[Answer]]]:
    """Ask and judge. Returns the evaluation and each contender's answers. Errors: `DataError`, see `check_task`."""
    check_task(task)
    _check_names([entrant.spec.name for entrant in contenders])
    asked = [collect_answers(entrant, task, progress) for entrant in contenders]
    return evaluate_answers(asked, task), {one.name: list(one.answers) for one in asked}


def check_task(task: Task) -> None:
    """Before anything is spent: there are examples, each ends with an answer, and the scorer takes each as a reference.

    Errors: `DataError`.
    """
    if not task.examples:
        raise DataError(
            "no-test-examples", "There is nothing to evaluate on.", do="give a larger file or a larger test share"
        )
    without = [example for example in task.examples if not example.messages or example.messages[-1].role != "assistant"]
    if without:
        raise DataError(
            "not-a-question",
            f"{len(without):,} test examples have no question and answer.",
            where=format_example_places(without),
            found="plain text, or a conversation without an answer",
            do="say which columns hold question and answer (--columns), or leave them out of the test set",
        )
    with_tools = [example for example in task.examples if example.uses_tools]
    if with_tools:
        raise DataError(
            "tools-not-scored",
            f"{len(with_tools):,} test examples use tools, which no scorer here can judge yet.",
            where=format_example_places(with_tools),
            found="tool definitions, or an answer that is a tool call",
            do="tune on them with tunesmith train, or leave them out of the test set",
        )
    _check_references(task)


def format_example_places(examples: Sequence[Example]) -> str:
    """Where these examples stand, file by file, in the order of their lines."""
    return name_places(sorted((one.place for one in examples), key=lambda at: (at[0].file if at[0] else "", at[1])))


def _check_references(task: Task) -> None:
    """A reference that the scorer finds fault with as an answer to itself is no reference for it; one stray may be."""
    faults = [(e, _find_answer_error(e.answer, task.scorer)) for e in task.examples]
    faulty = [(example, fault) for example, fault in faults if fault is not None]
    if len(faulty) > max(1, MAX_OUTLIER_FRACTION * len(task.examples)):
        raise DataError(
            "unfit-references",
            f"{len(faulty):,} of {len(task.examples):,} test examples have an answer that does not fit the scorer "
            f"{task.scorer.name}.",
            where=format_example_places([example for example, _ in faulty]),
            found=f"{faulty[0][0].answer[:80]!r}: {faulty[0][1]}",
            do="mend them, or name another scorer: --set evaluation.scorer=normalised",
        )


def _find_answer_error(answer: str, scorer: Scorer) -> str | None:
    final = extract_final_answer(answer)
    if answer.strip() and not final.strip():
        return "it is reasoning without a final answer behind it"
    return find_reference_error(scorer, final)


def collect_answers(
    contender: RunnableContender,
    task: Task,
    progress: ContenderProgress | None = None,
    save: Callable[[ContenderAnswers], None] | None = None,
) -> ContenderAnswers:
    """One contender's scored answers, in the order of the examples. `keep` is given them before they are scored, which
    may take longer than asking."""
    name, tell = contender.spec.name, progress
    report: ProgressCallback | None = (lambda ready, wanted: tell(name, ready, wanted)) if tell else None
    with UsageMeter() as meter:
        completions = contender.completer.complete([example.prompt for example in task.examples], report)
    told = sum(completion.seconds for completion in completions)
    rest = max(0.0, meter.seconds - told) / max(len(completions), 1)
    answers = build_unscored_answers(completions, task.examples, rest)
    answered = ContenderAnswers(contender.spec, answers, meter.build_usage(answers))
    if save is not None:
        save(answered)
    return score_answers(answered, task)


def score_answers(asked: ContenderAnswers, task: Task) -> ContenderAnswers:
    """The contender with its answers scored."""
    answers, scorer = asked.answers, task.scorer
    items = [
        ScoringInput(extract_final_answer(answer.text), extract_final_answer(example.answer), example.question)
        for answer, example in zip(answers, task.examples, strict=True)
        if answer.error is None
    ]
    scored = iter(score_items(scorer, items))
    return replace(asked, answers=[one if one.error is not None else _add_score(one, next(scored)) for one in answers])


def _add_score(answer: Answer, score: dict[str, float] | ScoringFailure) -> Answer:
    found = {"unscored": score.reason} if isinstance(score, ScoringFailure) else {"scores": score}
    return Answer.model_validate({**dict(answer), **found})


def build_unscored_answers(
    completions: Sequence[Completion], examples: Sequence[Example], overhead_seconds: float = 0.0
) -> list[Answer]:
    """Completions as answers; `rest_seconds` each for what no single one took."""
    return [
        Answer(
            example=example.id,
            text=completion.text,
            scores={},
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            seconds=completion.seconds + overhead_seconds,
            finished=completion.finished,
            error=completion.error,
            tokens_shared=completion.tokens_shared,
            way=completion.mode,
        )
        for example, completion in zip(examples, completions, strict=True)
    ]


def score_completions(
    completions: Sequence[Completion], examples: Sequence[Example], scorer: Scorer
) -> list[dict[str, float] | ScoringFailure]:
    """Scores of what was answered; what was not answered has none."""
    items = [
        ScoringInput(extract_final_answer(completion.text), extract_final_answer(example.answer), example.question)
        for completion, example in zip(completions, examples, strict=True)
        if completion.error is None
    ]
    scored = iter(score_items(scorer, items))
    return [{} if completion.error is not None else next(scored) for completion in completions]


def compute_primary_scores(
    completions: Sequence[Completion], examples: Sequence[Example], scorer: Scorer
) -> list[float | None]:
    """Each answer's score on the deciding metric; None where there is no answer or it could not be judged."""
    scores = score_completions(completions, examples, scorer)
    return [score.get(scorer.metric) if isinstance(score, dict) else None for score in scores]


def evaluate_answers(answered: Sequence[ContenderAnswers], task: Task) -> Evaluation:
    """Judge answers that are there already. Errors: `DataError` when they are not answers to these examples."""
    wanted = [example.id for example in task.examples]
    _check_names([contender.name for contender in answered])
    for contender in answered:
        if [answer.example for answer in contender.answers] != wanted:
            raise DataError(
                "other-answers",
                f"The answers of {contender.name!r} are not to these test examples.",
                found=f"{len(contender.answers):,} answers, {len(wanted):,} examples",
                do="evaluate it again on these examples",
            )
    machine = fit_machine_time(answered)
    return Evaluation(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=tuple(wanted),
        contenders=tuple(_summarize_contender(contender, task, machine) for contender in answered),
        comparisons=tuple(
            compare_contenders(a, b, task.scorer.metric, task.groups) for a, b in combinations(answered, 2)
        ),
        machine_usd_per_hour=task.machine_usd_per_hour,
        leaked=tuple(example.id for example in task.examples if example.id in task.contaminated_ids),
        clusters=len(set(task.groups)) if task.groups else None,
        judging=sum_usage(judging) if (judging := [one.judge_usage for one in answered if one.judge_usage]) else None,
        machine=machine,
    )


def compare_contenders(
    a: ContenderAnswers, b: ContenderAnswers, metric: str, groups: Sequence[str] | None = None
) -> Comparison:
    """The paired difference a - b over the examples that both answered; `groups` names the group of each example."""
    both = [i for i, (x, y) in enumerate(zip(a.answers, b.answers, strict=True)) if x.scores and y.scores]
    a_N, b_N = (np.array([asked.answers[i].scores[metric] for i in both], dtype=np.float64) for asked in (a, b))
    kept = None if groups is None else [groups[i] for i in both]
    difference = paired_difference(a_N, b_N, kept)
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
        needed_n=None if is_told else estimate_required_n(a_N - b_N, kept),
        test=difference.test,
        clusters=difference.clusters,
    )


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            "same-name", "Contenders need different names.", found=f"{truncate_list(twice)} twice", do="name each once"
        )


def _summarize_contender(asked: ContenderAnswers, task: Task, machine: MachineTime | None) -> Contender:
    requests = len(asked.answers)
    profile = asked.spec
    seconds = sum(answer.seconds for answer in asked.answers) / requests
    tokens_in = sum(answer.tokens_in for answer in asked.answers) / requests
    tokens_out = sum(answer.tokens_out for answer in asked.answers) / requests
    usd_per_second = task.machine_usd_per_hour / 3600
    price = profile.token_price
    told = asked.usage.usd_charged if asked.usage else None
    charged = price.compute_usd(tokens_in, tokens_out) if price else (told or 0.0) / requests
    metrics = _compute_metrics(asked, task)
    worked = seconds if machine is None or profile.traits.is_external else estimate_seconds(asked, machine) / requests
    return Contender(
        name=profile.name,
        kind=profile.kind,
        given=_describe_contender(asked, task.scorer),
        metrics=metrics,
        seconds_per_request=seconds,
        tokens_in_per_request=tokens_in,
        tokens_out_per_request=tokens_out,
        usd_per_1000=1000 * (charged if price or told is not None else worked * usd_per_second),
        setup_seconds=profile.setup_seconds,
        setup_usd=profile.setup_seconds * usd_per_second + profile.setup_usd_charged,
        chosen=profile.chosen,
        clean=_score_without_contaminated(asked, task),
        usage=asked.usage,
        token_price=price,
        retrieval_hits=profile.retrieval_hits,
    )


def explain_answers(answers_given: Sequence[Answer], scorer: Scorer) -> str:
    """What about these answers is no matter of being right or wrong, in words without a full stop; empty where nothing
    is: how many were scored without their reasoning, were cut, or hold nothing that can be compared."""
    answers = [answer for answer in answers_given if answer.error is None]
    parts = [explain_reasoning([answer.text for answer in answers]).rstrip(".")]
    cut = sum(not answer.finished for answer in answers)
    if cut:
        parts.append(f"{cut:,} of {len(answers):,} were cut at the limit of tokens")
    if isinstance(scorer, ParsingScorer):
        without = [
            answer.text
            for answer in answers
            if answer.scores and not scorer.can_parse(extract_final_answer(answer.text))
        ]
        if without:
            first = " ".join(without[0].split())[:MAX_EXCERPT_CHARACTERS]
            shown = f"the first: {first!r}" if first else "the first is empty"
            parts.append(f"{len(without):,} of {len(answers):,} {scorer.failure_text} ({shown}), so are wrong")
    return ", ".join(filter(None, parts))


def _describe_contender(asked: ContenderAnswers, scorer: Scorer) -> str:
    """What the contender was given, and what is to be said of its answers."""
    told = explain_answers(asked.answers, scorer)
    return "; ".join(filter(None, (asked.spec.given, f"of its answers {told}" if told else "")))


def _score_without_contaminated(asked: ContenderAnswers, task: Task) -> Quantity | None:
    """The deciding metric where nothing leaked; None where nothing did at all, or everything."""
    kept = [i for i, example in enumerate(task.examples) if example.id not in task.contaminated_ids]
    if not task.contaminated_ids or not kept:
        return None
    fewer = replace(task, examples=[task.examples[i] for i in kept], contaminated_ids=frozenset())
    return _compute_mean(replace(asked, answers=[asked.answers[i] for i in kept]), task.scorer.metric, fewer.groups)


def _compute_metrics(asked: ContenderAnswers, task: Task) -> dict[str, Quantity]:
    """Every metric with its interval, the deciding one first."""
    names = dict.fromkeys([task.scorer.metric, *(name for answer in asked.answers for name in answer.scores)])
    groups = task.groups
    metrics = {name: _compute_mean(asked, name, groups) for name in names}
    which = [i for i, answer in enumerate(asked.answers) if answer.scores]
    for name, metric in task.scorer.corpus_metrics.items():
        counts_ND = np.array(
            [
                metric.count(extract_final_answer(asked.answers[i].text), extract_final_answer(task.examples[i].answer))
                for i in which
            ]
        )
        interval = bootstrap_interval(counts_ND, metric.combine, task.seed, _select_groups(groups, which))
        metrics[name] = _build_quantity(interval, len(asked.answers) - len(which))
    return metrics


def _compute_mean(asked: ContenderAnswers, name: str, groups: Sequence[str] | None) -> Quantity:
    """One metric that each answer has, over the answers that have it."""
    which = [i for i, answer in enumerate(asked.answers) if name in answer.scores]
    interval = mean_interval([asked.answers[i].scores[name] for i in which], _select_groups(groups, which))
    return _build_quantity(interval, len(asked.answers) - len(which))


def _select_groups(groups: Sequence[str] | None, which: Sequence[int]) -> list[str] | None:
    return None if groups is None else [groups[i] for i in which]


def _build_quantity(interval: Interval, failed: int) -> Quantity:
    return Quantity(value=interval.value, low=interval.low, high=interval.high, n=interval.n, failed=failed)
