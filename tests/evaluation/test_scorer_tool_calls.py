"""Calls are right when they call the same functions with the same values, in whatever form."""

import json
from typing import Any

import pytest

from tunesmith.analysis.by_format import NO_CALL, group_by_format
from tunesmith.analysis.scored_examples import ScoredExample, ScoredExamples
from tunesmith.contenders.output_constraint import infer_output_constraint
from tunesmith.data.label_detection import count_possible_labels, find_labels
from tunesmith.evaluation.harness import explain_answers
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.evaluation.scorers.tool_calls import ToolCallsScorer
from tunesmith.records import Answer, Example, Message, format_answer
from tunesmith.testing.scorer_conformance import ScorerConformance


def calls(*functions: tuple[str, dict[str, Any]], text: str = "") -> str:
    return format_answer(text, [{"name": name, "arguments": given} for name, given in functions])


WEATHER = calls(("get_weather", {"town": "Iasi", "days": 3}))
TIME = calls(("get_time", {"zone": "EET"}))


class TestToolCallsScorer(ScorerConformance):
    def make_scorer(self) -> Scorer:
        return ToolCallsScorer()

    def make_references(self) -> list[str]:
        return [WEATHER, TIME, calls(("f", {}), ("g", {"x": [1, {"y": None}]}), text="I look.")]


def accuracy(answer: str, reference: str = WEATHER) -> float:
    scores = ToolCallsScorer().score(answer, reference)
    assert list(scores) == ["call_accuracy", "call_names", "call_valid"]
    return scores["call_accuracy"]


@pytest.mark.parametrize(
    "answer",
    [
        WEATHER,
        f"I look.\n{WEATHER}",
        '<tool_call>{"name": "get_weather", "arguments": {"days": 3, "town": "Iasi"}}</tool_call>',
        '{"name": "get_weather", "parameters": {"days": 3.0, "town": "\\u0049asi"}}',
        '{"name": "get_weather", "arguments": "{\\"town\\": \\"Iasi\\", \\"days\\": 3}"}',
    ],
)
def test_two_forms_of_one_call_are_one_call(answer: str) -> None:
    assert accuracy(answer) == 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"town": "Iasi", "days": "3"},
        {"town": "iasi", "days": 3},
        {"town": "Iasi"},
        {"town": "Iasi", "days": 3, "unit": None},
        {"town": "Iasi", "days": True},
        {},
    ],
)
def test_another_value_is_another_call_and_the_name_alone_is_counted_apart(
    arguments: dict[str, Any],
) -> None:
    scores = ToolCallsScorer().score(calls(("get_weather", arguments)), WEATHER)
    assert scores == {"call_accuracy": 0.0, "call_names": 1.0, "call_valid": 1.0}


def test_parallel_calls_may_come_in_any_order_but_as_often() -> None:
    a, b = ("f", {"x": 1}), ("f", {"x": 2})
    assert accuracy(calls(b, a), calls(a, b)) == 1.0
    for wrong in (calls(a), calls(a, a), calls(a, b, b)):
        assert accuracy(wrong, calls(a, b)) == 0.0


@pytest.mark.parametrize(
    "answer",
    ["", "It rains.", '{"name": "get_weather", "arguments": {"town": "Iasi"', "get_weather()"],
)
def test_an_answer_without_a_readable_call_is_wrong_and_said_to_be(answer: str) -> None:
    scorer = ToolCallsScorer()
    assert set(scorer.score(answer, WEATHER).values()) == {0.0}
    assert not scorer.can_parse(answer)
    given = Answer(
        example="x", text=answer, scores=scorer.score(answer, WEATHER), tokens_in=1, tokens_out=1,
        seconds=0.0, finished=True,
    )  # fmt: skip
    assert "1 of 1 answers hold no tool call that can be read" in explain_answers([given], scorer)


def test_where_nothing_is_to_be_called_it_is_right_to_call_nothing() -> None:
    scorer = ToolCallsScorer.from_references([WEATHER, "No tool helps here."])
    assert scorer.can_parse("I cannot help with that.")
    assert set(scorer.score("I cannot help.", "No tool helps here.").values()) == {1.0}
    assert scorer.score(WEATHER, "No tool helps here.")["call_accuracy"] == 0.0
    assert not scorer.can_parse('<tool_call>{"name": </tool_call>')


def test_calls_are_found_by_looking_at_the_answers() -> None:
    scorer, reason = choose_scorer([WEATHER, TIME])
    assert isinstance(scorer, ToolCallsScorer) and scorer.are_all_calls
    assert reason == "All 2 train answers are tool calls, so calls are compared."
    scorer, reason = choose_scorer([WEATHER, TIME, "I cannot."])
    assert isinstance(scorer, ToolCallsScorer) and not scorer.are_all_calls
    assert "2 of 3" in reason and "The other 1 call nothing" in reason
    assert choose_scorer([WEATHER, "yes", "no", "yes", "no"])[0].name != "tool_calls"


def test_json_with_such_keys_that_no_tool_was_called_by_stays_json() -> None:
    row = json.dumps({"name": "Ada", "arguments": {"born": 1815}})
    assert choose_scorer([row])[0].name == "json"


def test_calls_are_neither_labels_nor_held_to_a_form() -> None:
    many = [WEATHER, TIME] * 20
    assert find_labels(many) is None and count_possible_labels(many) == 0
    form, why = infer_output_constraint(many)
    assert form is None and why == "Train answers call tools: they are left free."


def test_answers_without_a_readable_call_are_one_kind_of_errors() -> None:
    answers = [WEATHER, TIME, "It rains.", "<tool_call>"]
    cases = tuple(
        ScoredExample(
            Example(i, (Message("user", "q"), Message("assistant", WEATHER))),
            Answer(
                example=str(i), text=text, scores=ToolCallsScorer().score(text, WEATHER),
                tokens_in=1, tokens_out=1, seconds=0.0, finished=True,
            ),
            accuracy(text),
            accuracy(text) < 1,
        )
        for i, text in enumerate(answers)
    )  # fmt: skip
    (found,) = group_by_format(ScoredExamples(cases, 1.0), ["tool_calls"], [WEATHER])
    assert found.name == NO_CALL and [one.predicted for one, _ in found.errors] == answers[2:]
