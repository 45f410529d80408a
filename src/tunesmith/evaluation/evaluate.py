"""Evaluate: every contender answers the same test examples, every answer is scored by the same lines.

Asking and judging are apart: `ask` needs a model and makes answers; `evaluate_answers` needs only answers, so a
decision can be checked again from the files of a run.

What is decided here:
- A failed answer (`error` set) has no score. It is counted in `Quantity.failed` and left out of n, so the interval
  widens; it is never scored 0 in silence. An answer cut at the token limit is an answer: a user would get no more.
- Comparisons are paired: they use the examples that both contenders answered, and say how many.
- All pairs are compared, in the order of the contenders, on the deciding metric. Each p value is that of its own
  comparison and agrees with its interval; whoever picks among several comparisons corrects for their number, because
  only the picker knows which ones were in play (decision/).
- Seconds per request are throughput: wall time over requests, failed ones included, in batches as they were asked.
  What no single answer took (retrieval, a shared beginning) is spread over all of them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tunesmith.errors import DataError, UsageError, name_some
from tunesmith.evaluation.scorers.scorer import STRAY_SHARE, Scorer
from tunesmith.evaluation.stats.bootstrap import whole_set_interval
from tunesmith.evaluation.stats.intervals import Interval, mean_interval
from tunesmith.evaluation.stats.paired import paired_difference
from tunesmith.evaluation.stats.power import examples_needed
from tunesmith.records import Answer, Comparison, Completer, Contender, Evaluation, Example, Progress, Quantity

ContenderProgress = Callable[[str, int, int], None]
"""Called with (contender, answers ready, answers wanted)."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contender before it is asked. The first four fields are explained at `records.Contender`."""

    name: str
    kind: str
    given: str
    completer: Completer
    setup_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A contender after it was asked: its answers, in the order of the examples."""

    name: str
    kind: str
    given: str
    answers: Sequence[Answer]
    setup_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """What all contenders share. `seed` is that of the bootstrap."""

    name: str
    examples: Sequence[Example]
    scorer: Scorer
    scorer_reason: str
    machine_usd_per_hour: float
    seed: int = 0


def evaluate_contenders(
    entrants: Sequence[Entrant], task: Task, progress: ContenderProgress | None = None
) -> tuple[Evaluation, dict[str, list[Answer]]]:
    """Ask and judge. Returns the evaluation and each contender's answers. Errors: `DataError`, see `check_task`."""
    check_task(task)
    _check_names([entrant.name for entrant in entrants])
    answers = {entrant.name: ask(entrant, task, progress) for entrant in entrants}
    asked = [Asked(e.name, e.kind, e.given, answers[e.name], e.setup_seconds) for e in entrants]
    return evaluate_answers(asked, task), answers


def check_task(task: Task) -> None:
    """Before anything is spent: there are examples, each ends with an answer, and the scorer takes each as a reference.

    Errors: `DataError`.
    """
    if not task.examples:
        raise DataError(
            "no-test-examples", "There is nothing to evaluate on.", do="give a larger file or a larger test share"
        )
    without = sorted(
        example.line for example in task.examples if not example.messages or example.messages[-1].role != "assistant"
    )
    if without:
        raise DataError(
            "not-a-question",
            f"{len(without):,} test examples have no question and answer.",
            where=f"lines {name_some(without)}",
            found="plain text, or a conversation without an answer",
            do="say which columns hold question and answer (--columns), or leave them out of the test set",
        )
    with_tools = [example.line for example in task.examples if example.tools or example.messages[-1].tool_calls]
    if with_tools:
        raise DataError(
            "tools-not-scored",
            f"{len(with_tools):,} test examples use tools, which no scorer here can judge yet.",
            where=f"lines {name_some(with_tools)}",
            found="tool definitions, or an answer that is a tool call",
            do="tune on them with tunesmith train, or leave them out of the test set",
        )
    _check_references(task)


def _check_references(task: Task) -> None:
    """A reference that the scorer finds fault with as an answer to itself is no reference for it; one stray may be."""
    faulty = [e for e in task.examples if min(task.scorer.score(e.answer, e.answer).values()) < 1]
    if len(faulty) > max(1, STRAY_SHARE * len(task.examples)):
        raise DataError(
            "unfit-references",
            f"{len(faulty):,} of {len(task.examples):,} test examples have an answer that does not fit the scorer "
            f"{task.scorer.name}.",
            where=f"lines {name_some(sorted(example.line for example in faulty))}",
            found=f"{faulty[0].answer[:80]!r}",
            do="mend them, or name another scorer: --set evaluation.scorer=normalised",
        )


def ask(entrant: Entrant, task: Task, progress: ContenderProgress | None = None) -> list[Answer]:
    """One contender's scored answers, in the order of the examples."""
    name, tell = entrant.name, progress
    report: Progress | None = (lambda ready, wanted: tell(name, ready, wanted)) if tell else None
    began = time.perf_counter()
    completions = entrant.completer.complete([example.prompt for example in task.examples], report)
    told = sum(completion.seconds for completion in completions)
    rest = max(0.0, time.perf_counter() - began - told) / max(len(completions), 1)
    return [
        Answer(
            example=example.id,
            text=completion.text,
            scores={} if completion.error is not None else task.scorer.score(completion.text, example.answer),
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            seconds=completion.seconds + rest,
            finished=completion.finished,
            error=completion.error,
        )
        for example, completion in zip(task.examples, completions, strict=True)
    ]


def evaluate_answers(asked: Sequence[Asked], task: Task) -> Evaluation:
    """Judge answers that are there already. Errors: `DataError` when they are not answers to these examples."""
    wanted = [example.id for example in task.examples]
    _check_names([contender.name for contender in asked])
    for contender in asked:
        if [answer.example for answer in contender.answers] != wanted:
            raise DataError(
                "other-answers",
                f"The answers of {contender.name!r} are not to these test examples.",
                found=f"{len(contender.answers):,} answers, {len(wanted):,} examples",
                do="evaluate it again on these examples",
            )
    return Evaluation(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=tuple(wanted),
        contenders=tuple(_measured(contender, task) for contender in asked),
        comparisons=tuple(compare(a, b, task.scorer.metric) for a, b in combinations(asked, 2)),
        machine_usd_per_hour=task.machine_usd_per_hour,
    )


def compare(a: Asked, b: Asked, metric: str) -> Comparison:
    """The paired difference a - b over the examples that both answered."""
    pairs = [
        (x.scores[metric], y.scores[metric])
        for x, y in zip(a.answers, b.answers, strict=True)
        if x.error is None and y.error is None
    ]
    a_N, b_N = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    difference = paired_difference(a_N, b_N)
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
        needed_n=None if is_told else examples_needed(a_N - b_N),
    )


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            "same-name", "Contenders need different names.", found=f"{name_some(twice)} twice", do="name each once"
        )


def _measured(asked: Asked, task: Task) -> Contender:
    requests = len(asked.answers)
    seconds = sum(answer.seconds for answer in asked.answers) / requests
    usd_per_second = task.machine_usd_per_hour / 3600
    return Contender(
        name=asked.name,
        kind=asked.kind,
        given=asked.given,
        metrics=_metrics(asked, task),
        seconds_per_request=seconds,
        tokens_in_per_request=sum(answer.tokens_in for answer in asked.answers) / requests,
        tokens_out_per_request=sum(answer.tokens_out for answer in asked.answers) / requests,
        usd_per_1000=1000 * seconds * usd_per_second,
        setup_seconds=asked.setup_seconds,
        setup_usd=asked.setup_seconds * usd_per_second,
    )


def _metrics(asked: Asked, task: Task) -> dict[str, Quantity]:
    """Every metric with its interval, the deciding one first."""
    answered = [
        (answer, example.answer)
        for answer, example in zip(asked.answers, task.examples, strict=True)
        if answer.error is None
    ]
    failed = len(asked.answers) - len(answered)
    names = list(answered[0][0].scores) if answered else [task.scorer.metric]
    metrics = {
        name: _quantity(mean_interval([answer.scores[name] for answer, _ in answered]), failed) for name in names
    }
    for name, metric in task.scorer.whole_set.items():
        counts_ND = np.array([metric.count(answer.text, reference) for answer, reference in answered])
        metrics[name] = _quantity(whole_set_interval(counts_ND, metric.combine, task.seed), failed)
    return metrics


def _quantity(interval: Interval, failed: int) -> Quantity:
    return Quantity(value=interval.value, low=interval.low, high=interval.high, n=interval.n, failed=failed)
