"""A choice on validation: the best wins, equals give way to the simpler, everything is told,
nothing is asked twice."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.successive_halving import (
    Candidate,
    SelectionTimeOver,
    count_required_answers,
    plan_rounds,
    select_candidate,
)
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import Completer, Completion, Example, Message, ProgressCallback, Prompt

EXAMPLES = [
    Example(line=i, messages=(Message("user", f"q{i}"), Message("assistant", f"a{i}")))
    for i in range(64)
]
BASE = FakeCompleter({})


class Named:
    """A completer that carries the name of the candidate which made it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        raise AssertionError("the measure below needs no answers")


def candidate(name: str, instruction: str = "") -> Candidate:
    return Candidate(name, f"given {name}", lambda base: Named(name), PromptBuilder(instruction))


class Scores:
    """A measure by table; it keeps whom it asked what."""

    def __init__(self, rights: dict[str, float | None]) -> None:
        self.rights = rights
        self.asked: dict[str, list[str]] = {}

    def __call__(self, completer: Completer, examples: Sequence[Example]) -> list[float | None]:
        assert isinstance(completer, Named)
        self.asked.setdefault(completer.name, []).extend(example.id for example in examples)
        return [self.rights[completer.name] for _ in examples]


def test_the_best_is_found_and_the_rest_is_told() -> None:
    measure = Scores({"a": 0.1, "b": 0.9, "c": 0.5, "d": None, "e": 0.2, "f": 0.3})
    chosen = select_candidate([candidate(name) for name in "abcdef"], BASE, EXAMPLES, measure)
    assert chosen.candidate.name == "b"
    assert [(trial.candidate.name, len(trial.scores)) for trial in chosen.trials] == [
        ("b", 64),
        ("c", 64),
        ("f", 32),
        ("e", 16),
        ("a", 16),
        ("d", 16),
    ]
    first, *others = chosen.sentences
    assert first.startswith("Best of 6 candidates on 64 validation examples (")
    assert first.endswith("): b 90.0 %.")
    assert others == [
        "Other candidates: c 50.0 %.",
        "Eliminated after 32 examples: f 30.0 %.",
        "Eliminated after 16 examples: e 20.0 %, a 10.0 %, d no score.",
    ]


def test_all_of_a_round_answer_the_same_and_nobody_is_asked_twice() -> None:
    measure = Scores({"a": 0.1, "b": 0.2, "c": 0.3})
    select_candidate([candidate(name) for name in "abc"], BASE, EXAMPLES, measure, seed=3)
    assert len(set(measure.asked["c"])) == len(measure.asked["c"]) == 64
    assert measure.asked["a"] == measure.asked["c"][:32]


def test_equals_give_way_to_the_simpler() -> None:
    names = ["simple", "middle", "long", "longer", "longest"]
    chosen = select_candidate(
        [candidate(name) for name in names], BASE, EXAMPLES, Scores(dict.fromkeys(names, 0.5))
    )
    assert [trial.candidate.name for trial in chosen.trials] == names


@pytest.mark.parametrize(("right", "best"), [(0.95, "b, dear"), (0.9, "b")])
def test_variants_are_tried_around_the_best_alone(right: float, best: str) -> None:
    """On all examples; the plain one stays where the variant is no better."""
    measure = Scores({"a": 0.1, "b": 0.9, "c": 0.5, "b, dear": right})
    chosen = select_candidate(
        [candidate(name) for name in "abc"],
        BASE,
        EXAMPLES,
        measure,
        0,
        lambda one: [candidate(f"{one.name}, dear")],
    )
    assert chosen.candidate.name == best
    assert len(measure.asked["b, dear"]) == 64 and measure.asked.keys() == {
        "a",
        "b",
        "c",
        "b, dear",
    }
    assert "Best of 4 candidates" in chosen.sentences[0]


def test_alone_there_is_nothing_to_choose_and_no_variant_is_tried() -> None:
    chosen = select_candidate(
        [candidate("a")], BASE, EXAMPLES, Scores({}), 0, lambda one: [candidate("b")]
    )
    assert [trial.candidate.name for trial in chosen.trials] == ["a"]


def test_nobody_is_dropped_for_equalling_one_that_stays() -> None:
    """Where nothing is right at first, a longer prompt that wakes up later must still be there."""
    answered: dict[str, int] = {}

    def measure(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
        assert isinstance(completer, Named)
        before = answered.get(completer.name, 0)
        answered[completer.name] = before + len(examples)
        return [float(completer.name == "e" and before + i >= 40) for i in range(len(examples))]

    chosen = select_candidate([candidate(name) for name in "abcdef"], BASE, EXAMPLES, measure)
    assert chosen.candidate.name == "e" and answered == dict.fromkeys("abcdef", 64)


def test_it_does_not_depend_on_the_order_of_the_examples() -> None:
    shuffled = random.Random(1).sample(EXAMPLES, len(EXAMPLES))
    first, second = Scores({"a": 0.4, "b": 0.3}), Scores({"a": 0.4, "b": 0.3})
    for measure, examples in ((first, EXAMPLES), (second, shuffled)):
        select_candidate([candidate("a"), candidate("b")], BASE, examples, measure, seed=7)
    assert first.asked == second.asked


def test_with_nothing_to_choose_nothing_is_asked() -> None:
    measure = Scores({})
    alone = select_candidate([candidate("a", "Be short.")], BASE, EXAMPLES, measure)
    assert alone.sentences == (
        "Nothing to select: a was the only candidate.",
        'Added instruction: "Be short."',
    )
    blind = select_candidate([candidate("a"), candidate("b")], BASE, [], measure)
    assert blind.sentences == ("No validation examples to select on: a was used.",)
    assert measure.asked == {}
    with pytest.raises(ValueError, match="no candidate"):
        select_candidate([], BASE, EXAMPLES, measure)


@given(st.integers(0, 40), st.integers(0, 300))
def test_the_plan_narrows_and_ends_with_all_examples(candidates: int, examples: int) -> None:
    plan = plan_rounds(candidates, examples)
    if candidates < 2 or not examples:
        assert plan == []
        return
    assert plan[0][0] == candidates and plan[-1][1] == examples
    assert all(a >= b >= 2 and m < n for (a, m), (b, n) in pairwise(plan))
    assert count_required_answers(candidates, examples) <= candidates * examples


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_a_clearly_better_candidate_wins_nearly_always(seed: int) -> None:
    draw = random.Random(seed)
    rights = [0.2, 0.3, 0.3, 0.2, 0.9, 0.25, 0.3, 0.2]

    def measure(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
        assert isinstance(completer, Named)
        return [float(draw.random() < rights[int(completer.name)]) for _ in examples]

    assert (
        select_candidate(
            [candidate(str(i)) for i in range(8)], BASE, EXAMPLES, measure
        ).candidate.name
        == "4"
    )


def test_eight_candidates_cost_as_much_as_four_full_ones() -> None:
    assert plan_rounds(8, 64) == [(8, 16), (4, 32), (2, 64)]
    assert count_required_answers(8, 64) == 4 * 64


def test_a_choice_without_any_score_says_so_and_takes_the_simplest() -> None:
    chosen = select_candidate(
        [candidate(name) for name in "abc"], BASE, EXAMPLES, Scores(dict.fromkeys("abc"))
    )
    assert chosen.candidate.name == "a"
    assert chosen.sentences == (
        (
            "None of 3 candidates has a score on 64 validation examples: a was used because it is "
            "the simplest."
        ),
    )


class TimedScores(Scores):
    """Scores until its time is over, in calls."""

    def __init__(self, rights: dict[str, float | None], calls: int) -> None:
        super().__init__(rights)
        self.calls = calls

    def __call__(self, completer: Completer, examples: Sequence[Example]) -> list[float | None]:
        if not self.calls:
            raise SelectionTimeOver
        self.calls -= 1
        return super().__call__(completer, examples)


RIGHTS: dict[str, float | None] = {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.3}


@pytest.mark.parametrize(
    ("calls", "best", "counts"),
    [
        (0, "a", {"a": 0, "b": 0, "c": 0, "d": 0}),
        (2, "b", {"a": 16, "b": 16, "c": 0, "d": 0}),
        (4, "b", {"a": 16, "b": 16, "c": 16, "d": 16}),
        # In a second round that is cut short, the examples of the first one are compared.
        (5, "b", {"a": 16, "b": 16, "c": 16, "d": 16}),
        (6, "b", {"a": 16, "b": 32, "c": 32, "d": 16}),
    ],
)
def test_where_the_time_is_over_candidates_are_compared_on_the_same_examples(
    calls: int, best: str, counts: dict[str, int]
) -> None:
    measure = TimedScores(RIGHTS, calls)
    chosen = select_candidate([candidate(name) for name in "abcd"], BASE, EXAMPLES[:32], measure)
    assert chosen.ended_early is (calls < 6) and chosen.candidate.name == best
    assert {trial.candidate.name: len(trial.scores) for trial in chosen.trials} == counts
    said = " ".join(chosen.sentences)
    assert ("No time left to select" in said) is (calls == 0)
    assert ("was over before all was tried" in said) is (0 < calls < 6)


def test_a_variant_that_no_time_is_left_for_is_not_tried() -> None:
    measure = TimedScores({**RIGHTS, "b, held": 1.0}, 6)
    chosen = select_candidate(
        [candidate(name) for name in "abcd"],
        BASE,
        EXAMPLES[:32],
        measure,
        variants=lambda best: [candidate(f"{best.name}, held")],
    )
    assert chosen.ended_early and chosen.candidate.name == "b"
    assert "b, held" not in {trial.candidate.name for trial in chosen.trials}
