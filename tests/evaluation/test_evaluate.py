"""Evaluation: the same lines for every contender; what failed is counted, what was stored can be
judged again."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tunesmith.errors import DataError, UsageError
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import (
    RunnableContender,
    Task,
    build_unscored_answers,
    check_task,
    evaluate_answers,
    evaluate_contenders,
    score_answers,
    score_completions,
)
from tunesmith.evaluation.scorers.json_fields import JsonScorer
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.scorers.normalized_match import ExactScorer
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.records import (
    Answer,
    Completion,
    ContenderSpec,
    Example,
    Message,
    ProgressCallback,
    Prompt,
)


class Scripted:
    """Answers the i-th prompt with the i-th text; None fails."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        self.texts = texts
        self.prompts: list[Prompt] = []

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        self.prompts += prompts
        if progress:
            progress(len(prompts), len(prompts))
        return [
            Completion(text or "", 10, 2, seconds=0.5, error="too long" if text is None else None)
            for text in self.texts
        ]


def examples_of(answers: Sequence[str]) -> list[Example]:
    return [
        Example(line=i, messages=(Message("user", f"question {i}"), Message("assistant", answer)))
        for i, answer in enumerate(answers, start=1)
    ]


def task_of(answers: Sequence[str], scorer: Scorer | None = None) -> Task:
    return Task(
        "letters", examples_of(answers), scorer or LabelScorer(["a", "b"]), "It was named.", 0.36
    )


ANSWERS = ["a", "b", "a", "b", "a", "b"]


def entrant(
    name: str, texts: Sequence[str | None], setup_seconds: float = 0.0
) -> RunnableContender:
    return RunnableContender(
        ContenderSpec(
            name=name, kind="zero-shot", description="nothing", setup_seconds=setup_seconds
        ),
        Scripted(texts),
    )


def test_contenders_are_measured_and_all_pairs_compared() -> None:
    task = task_of(ANSWERS)
    told: list[tuple[str, int, int]] = []
    good, bad, none = (
        entrant("good", ANSWERS, 100.0),
        entrant("bad", ["a"] * 6),
        entrant("none", ["?"] * 6),
    )
    evaluation, answers = evaluate_contenders(
        [good, bad, none], task, lambda *ready: told.append(ready)
    )
    measured = evaluation.get_contender("good")
    assert (evaluation.scorer, evaluation.metric, list(measured.metrics)) == (
        "label",
        "accuracy",
        ["accuracy", "macro_f1"],
    )
    assert measured.metrics["accuracy"].value == 1.0 and measured.metrics["accuracy"].low < 0.7
    assert evaluation.get_contender("bad").metrics["macro_f1"].value == pytest.approx(
        (2 / 3 + 0) / 2
    )
    assert [(c.a, c.b, c.difference, c.n) for c in evaluation.comparisons] == [
        ("good", "bad", 0.5, 6),
        ("good", "none", 1.0, 6),
        ("bad", "none", 0.5, 6),
    ]
    assert told == [("good", 6, 6), ("bad", 6, 6), ("none", 6, 6)]
    assert all(isinstance(e.completer, Scripted) for e in (good, bad, none))
    assert (
        [a.example for a in answers["bad"]]
        == list(evaluation.examples)
        == [e.id for e in task.examples]
    )


def test_the_answer_is_never_shown_to_a_contender() -> None:
    completer = Scripted(ANSWERS)
    evaluate_contenders(
        [
            RunnableContender(
                ContenderSpec(name="x", kind="zero-shot", description="nothing"), completer
            )
        ],
        task_of(ANSWERS),
    )
    assert [[m.content for m in prompt] for prompt in completer.prompts] == [
        [f"question {i}"] for i in range(1, 7)
    ]


def test_cost_follows_from_time_and_the_machines_price() -> None:
    evaluation, _ = evaluate_contenders(
        [entrant("x", ANSWERS, setup_seconds=1000)], task_of(ANSWERS)
    )
    x = evaluation.get_contender("x")
    assert (x.seconds_per_request, x.tokens_in_per_request, x.tokens_out_per_request) == (
        0.5,
        10,
        2,
    )
    assert x.usd_per_1000 == pytest.approx(
        0.5 / 3600 * 0.36 * 1000
    ) and x.setup_usd == pytest.approx(0.1)


@pytest.mark.parametrize("unleaked", [0, 1, 2, 6])
def test_two_groups_and_a_handful_that_did_not_leak_have_an_interval(unleaked: int) -> None:
    task = task_of(ANSWERS)
    examples = [replace(example, group="ab"[i % 2]) for i, example in enumerate(task.examples)]
    task = replace(
        task,
        examples=examples,
        contaminated_ids=frozenset(example.id for example in examples[unleaked:]),
    )
    evaluation, _ = evaluate_contenders(
        [entrant("some", ["a", "b", "b", "b", "a", "a"]), entrant("a", ["a"] * 6)], task
    )
    for contender in evaluation.contenders:
        found = [
            *contender.metrics.values(),
            *(
                [contender.score_without_contaminated]
                if contender.score_without_contaminated
                else []
            ),
        ]
        assert all(
            0 <= one.low <= one.value <= one.high <= 1 and one.high - one.low > 0.5 for one in found
        )
        assert (
            contender.score_without_contaminated.n if contender.score_without_contaminated else 0
        ) == unleaked % 6  # all or none: nothing to set apart


def test_a_failed_answer_is_counted_and_never_scored_zero() -> None:
    half = entrant("half", ["a", "b", "a", None, None, None])
    full = entrant("full", ANSWERS)
    evaluation, answers = evaluate_contenders([half, full], task_of(ANSWERS))
    accuracy, whole = (
        evaluation.get_contender("half").metrics["accuracy"],
        evaluation.get_contender("full").metrics["accuracy"],
    )
    assert (accuracy.value, accuracy.n, accuracy.n_failed) == (1.0, 3, 3)
    assert accuracy.low < whole.low
    assert evaluation.get_contender("half").metrics["macro_f1"].n_failed == 3
    assert answers["half"][3].scores == {} and answers["half"][3].error == "too long"
    assert [(c.n, c.difference) for c in evaluation.comparisons] == [(3, 0.0)]


def test_when_all_fail_nothing_is_known() -> None:
    evaluation, _ = evaluate_contenders(
        [entrant("dead", [None] * 6), entrant("x", ANSWERS)], task_of(ANSWERS)
    )
    for quantity in evaluation.get_contender("dead").metrics.values():
        assert (quantity.low, quantity.high, quantity.n, quantity.n_failed) == (0, 1, 0, 6)
    assert (evaluation.comparisons[0].n, evaluation.comparisons[0].p) == (0, 1)


@pytest.mark.parametrize(("wrong", "is_told"), [(1, False), (6, True)])
def test_needed_n_is_asked_only_when_it_is_open(wrong: int, is_told: bool) -> None:
    texts = ["?"] * wrong + ANSWERS[wrong:]
    evaluation, _ = evaluate_contenders(
        [entrant("x", ANSWERS), entrant("y", texts)], task_of(ANSWERS)
    )
    comparison = evaluation.comparisons[0]
    assert (comparison.low > 0) == (comparison.p < 0.05) == is_told
    assert (comparison.required_n is None) == is_told
    if not is_told:
        assert comparison.required_n is not None and comparison.required_n > 6


def test_a_stored_evaluation_is_judged_again_without_a_model() -> None:
    task = task_of(ANSWERS)
    evaluation, answers = evaluate_contenders(
        [entrant("x", ["a", None, "b", "ü\u2028", "", "b"], 9.0)], task
    )
    stored = [Answer.model_validate_json(answer.model_dump_json()) for answer in answers["x"]]
    assert stored == answers["x"]
    profile = ContenderSpec(name="x", kind="zero-shot", description="nothing", setup_seconds=9.0)
    again = evaluate_answers(
        [ContenderAnswers(profile, stored, evaluation.contenders[0].usage)], task
    )
    assert again == evaluation and again.fingerprint == evaluation.fingerprint


def test_answers_to_other_examples_are_refused() -> None:
    _, answers = evaluate_contenders([entrant("x", ANSWERS)], task_of(ANSWERS))
    for wrong in (answers["x"][:5], answers["x"][::-1]):
        with pytest.raises(DataError, match="other-answers"):
            evaluate_answers(
                [
                    ContenderAnswers(
                        ContenderSpec(name="x", kind="zero-shot", description="nothing"), wrong
                    )
                ],
                task_of(ANSWERS),
            )


def test_bad_test_examples_are_found_before_any_contender_is_asked() -> None:
    completer = Scripted([])
    for task, code in [
        (task_of([]), "no-test-examples"),
        (
            task_of(["<think>so", "<think>cut", "b"]),
            r"(?s)unfit-references.*reasoning without a final answer",
        ),
        (
            task_of(["{}", "a", "b"], JsonScorer()),
            r"(?s)unfit-references.*2 of 3.*lines 2, 3\s.*'a'",
        ),
        (Task("t", [Example(line=3, text="plain")], ExactScorer(), "", 0.1), "not-a-question"),
    ]:
        with pytest.raises(DataError, match=code):
            check_task(task)
        with pytest.raises(DataError, match=code):
            evaluate_contenders(
                [
                    RunnableContender(
                        ContenderSpec(name="x", kind="zero-shot", description="nothing"), completer
                    )
                ],
                task,
            )
    assert completer.prompts == []


def test_a_completer_that_loses_an_answer_is_a_defect() -> None:
    with pytest.raises(ValueError, match="zip"):
        evaluate_contenders([entrant("x", ["a"])], task_of(ANSWERS))


def test_two_contenders_of_one_name_are_refused_before_they_are_asked() -> None:
    completer = Scripted(ANSWERS)
    twin = RunnableContender(
        ContenderSpec(name="x", kind="zero-shot", description="nothing"), completer
    )
    with pytest.raises(UsageError, match="got: x twice"):
        evaluate_contenders([twin, twin], task_of(ANSWERS))
    assert completer.prompts == []


def test_tool_calls_are_scored_as_calls_and_not_as_empty_answers() -> None:
    call = {"type": "function", "function": {"name": "now", "arguments": {"zone": "utc"}}}
    messages = (Message("user", "what time is it"), Message("assistant", "", tool_calls=(call,)))
    example = Example(line=7, messages=messages)
    scorer, reason = choose_scorer([example.answer])
    assert scorer.name == "tool_calls" and "All 1 train answers are tool calls" in reason
    task = Task("t", [example], scorer, reason, 0.1)
    check_task(task)
    texts = ["", '{"name": "now", "arguments": {"zone": "utc"}}']
    scores = [score_completions([Completion(t, 1, 1, 0.0)], [example], scorer) for t in texts]
    assert [one["call_accuracy"] for (one,) in scores] == [0.0, 1.0]


def test_answers_that_were_cut_or_hold_nothing_to_compare_are_counted() -> None:
    """EleutherAI/lm-evaluation-harness#4007, jundot/omlx#3772: such scores are not those of wrong
    answers."""
    task = task_of(["red", "blue", "red", "blue"], LabelScorer(["red", "blue"] * 4))
    said = [
        ("red", True),
        ("Let me think: the sky could be", False),
        ("<think>red", False),
        ("blue", True),
    ]
    completions = [Completion(text, 1, 1, 0.0, finished=finished) for text, finished in said]
    answers = build_unscored_answers(completions, task.examples)
    asked = score_answers(
        ContenderAnswers(
            ContenderSpec(name="one", kind="zero-shot", description="the question"), answers
        ),
        task,
    )
    [contender] = evaluate_answers([asked], task).contenders
    assert (
        contender.description
        == "the question; 1 of 4 answers contain reasoning: only the final answer is "
        "compared, 2 of 4 answers were cut at the token limit, 2 of 4 answers contain no label or "
        "several (the first: 'Let me think: the sky could be') and count as wrong"
    )
    assert contender.metrics["accuracy"].value == 0.5
