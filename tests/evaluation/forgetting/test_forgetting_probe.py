"""The general probe: every item can be passed by a right answer and not by habits, and asking it is
one batch."""

from collections import Counter

import pytest

from tunesmith.evaluation.forgetting.probe import (
    ProbeItem,
    is_right,
    load_general_texts,
    load_probe_items,
    measure_general_ability,
)
from tunesmith.evaluation.forgetting.rule_checkers import (
    extract_numbers,
    follows_rules,
    spell_number,
)
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import AnswerLogprob, Prompt

HABITS = (
    "",
    "card_arrival",
    '{"label": "other"}',
    "I'm sorry, but I can't help with that.",
    "As an AI, I cannot do that.",
    "I don't know.",
    "Let me explain in a few words what you could do about it, step by step.",
)
RIGHT = {item.prompt: item.right for item in load_probe_items()}


@pytest.mark.parametrize("item", load_probe_items(), ids=lambda item: item.id)
def test_an_item_takes_a_right_answer_and_no_habit(item: ProbeItem) -> None:
    assert is_right(item, item.right)
    assert not [habit for habit in (*HABITS, item.prompt) if is_right(item, habit)]
    if item.kind == "arithmetic":
        assert item.rules["number"] not in extract_numbers(item.prompt)


def test_kinds_are_balanced_and_nothing_is_asked_twice() -> None:
    items = load_probe_items()
    assert Counter(item.kind for item in items) == dict.fromkeys(
        ["instruction", "arithmetic", "fact", "format", "willing"], 40
    )
    assert len({item.prompt for item in items}) == 200


def test_general_text_is_thirty_paragraphs() -> None:
    texts = load_general_texts()
    assert len(texts) == 30 and 2500 < sum(len(text.split()) for text in texts) < 3500
    assert all("  " not in text and text[-1] in '."' for text in texts)


@pytest.mark.parametrize(
    ("answer", "rules", "keeps"),
    [
        ("The sum is 1,200.", {"number": 1200}, True),
        ("She has forty-two of them.", {"number": 42}, True),
        ("It is 142.", {"number": 42}, False),
        ("7+5=12", {"number": 12}, True),
        ("−3", {"number": -3}, True),
        ("It is Österreich", {"says": ["osterreich"]}, True),
        ("CO₂, of course", {"says": ["CO2"]}, True),
        ("Romeo", {"says": ["Rome"]}, False),
        ('"Yes."', {"exact": ["Yes"]}, True),
        ("Yes, it is", {"exact": ["Yes"]}, False),
        ("1. red\n2. blue", {"items": 2}, True),
        ("Here they are:\n- red\n- blue\n- tan", {"items": 3}, True),
        ("red, blue and tan", {"items": 3}, True),
        ("red, blue", {"items": 3}, False),
        ('```json\n{"a": 1}\n```', {"json": {"a": 1}}, True),
        ('{"a": 1, "b": 2}', {"json": {"a": 1}}, False),
        ('{"a": true}', {"json": {"a": None}}, True),
        ("[" * 100_000, {"json": {"a": 1}}, False),
        ("ABC 1", {"upper": True}, True),
        ("123", {"upper": True}, False),
        ("12", {"without": "e"}, False),
        ("I can’t assist with eggs at all, sorry.", {"willing": ["eggs"]}, False),
        ("You can't go wrong with boiled eggs and salt.", {"willing": ["eggs"]}, True),
        ("Boil eggs.", {"willing": ["eggs"]}, False),
    ],
)
def test_rules(answer: str, rules: dict[str, object], keeps: bool) -> None:
    assert follows_rules(answer, rules) is keeps


def test_numbers_are_spelled_below_a_hundred() -> None:
    assert [spell_number(n) for n in (0, 13, 20, 42, 99, 100)] == [
        "zero",
        "thirteen",
        "twenty",
        "forty two",
        "ninety nine",
        "100",
    ]


class Surprise:
    """Finds every word two nats surprising."""

    def compute_logprobs(
        self, prompts: list[Prompt], answers: list[str], progress: object = None
    ) -> list[AnswerLogprob]:
        assert all(prompt == () for prompt in prompts)
        return [
            AnswerLogprob(-2.0 * len(answer.split()), len(answer.split())) for answer in answers
        ]


def test_measuring_asks_everything_at_once_and_counts_what_was_not_answered() -> None:
    unanswered = load_probe_items()[3].prompt
    completer = FakeCompleter(
        lambda prompt: None if prompt[0].content == unanswered else RIGHT[prompt[0].content]
    )
    told: list[tuple[int, int]] = []
    ability = measure_general_ability(
        completer, Surprise(), lambda ready, wanted: told.append((ready, wanted))
    )
    assert [answer.is_correct for answer in ability.answers].count(True) == 199
    assert [answer.item for answer in ability.answers if answer.is_correct is None] == [
        load_probe_items()[3].id
    ]
    assert told[-1] == (200, 200)
    assert {text.nats / text.tokens for text in ability.texts} == {2.0}
    assert measure_general_ability(completer).texts == ()
