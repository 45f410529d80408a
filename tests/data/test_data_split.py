"""The split: disjoint, complete, the same in any order, and what belongs together stays
together."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.normalization import build_prompt_key
from tunesmith.data.split import select_examples, split_examples
from tunesmith.errors import DataError
from tunesmith.records import Example, Message, Split


def example(
    question: str, answer: str = "free text, " * 8, group: str | None = None, line: int = 1
) -> Example:
    return Example(line, (Message("user", question), Message("assistant", answer)), group=group)


def different(count: int) -> list[Example]:
    return [example(f"question {i}", f"answer {i}", line=i + 1) for i in range(count)]


def side_of(split: Split) -> dict[str, str]:
    return {id_: name for name in ("train", "validation", "test") for id_ in getattr(split, name)}


questions = st.sampled_from([f"question {i}" for i in range(12)])
EXAMPLES = st.lists(
    st.builds(
        example,
        questions | questions.map(str.upper) | questions.map("  {} ".format),
        st.sampled_from(["a", "b", "a" * 70, "b" * 70]),
        st.none() | st.sampled_from(["anna", "bert", "carl", "dora", "emil", "fred"]),
    ),
    min_size=1,
    max_size=40,
)


def try_split(examples: Sequence[Example], seed: int = 0) -> Split | None:
    try:
        return split_examples(examples, seed, grouped_by="customer")
    except DataError as error:
        assert error.code == "data/too-few"
        return None


@settings(max_examples=200, deadline=None)
@given(examples=EXAMPLES, seed=st.integers(0, 5))
def test_every_example_is_on_exactly_one_side_and_no_side_is_empty(
    examples: list[Example], seed: int
) -> None:
    split = try_split(examples, seed)
    if split is None:
        return
    ids = [*split.train, *split.validation, *split.test]
    assert len(ids) == len(set(ids))
    assert set(ids) == {one.id for one in examples}
    assert split.train and split.validation and split.test


@settings(max_examples=200, deadline=None)
@given(examples=EXAMPLES, shuffled=st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(
    examples: list[Example], shuffled: random.Random
) -> None:
    other = [*examples, *examples[:3]]
    shuffled.shuffle(other)
    first, second = try_split(examples), try_split(other)
    assert (first and side_of(first)) == (second and side_of(second))


@settings(max_examples=200, deadline=None)
@given(examples=EXAMPLES)
def test_equal_prompts_and_equal_groups_are_on_one_side(examples: list[Example]) -> None:
    split = try_split(examples)
    if split is None:
        return
    sides = side_of(split)
    for one in examples:
        for other in examples:
            if build_prompt_key(one) == build_prompt_key(other) or (
                one.group and one.group == other.group
            ):
                assert sides[one.id] == sides[other.id]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    examples = different(200)
    assert split_examples(examples, 1) == split_examples(examples, 1)
    assert split_examples(examples, 1).test != split_examples(examples, 2).test


def test_new_examples_do_not_move_old_ones() -> None:
    examples = different(400)
    before, after = side_of(split_examples(examples[:200])), side_of(split_examples(examples))
    assert before == {id_: after[id_] for id_ in before}


def test_a_group_that_grows_stays_where_it_is() -> None:
    old = [replace(one, group=f"g{i % 40}") for i, one in enumerate(different(200))]
    new = [example(f"another {i}", group=f"g{i % 40}") for i in range(200)]
    before, after = side_of(split_examples(old)), side_of(split_examples([*old, *new]))
    assert before == {id_: after[id_] for id_ in before}


def test_shares_are_kept() -> None:
    split = split_examples(different(5000), validation_fraction=0.1, test_fraction=0.2)
    assert len(split.test) == pytest.approx(1000, abs=100)  # 3.5 standard deviations of a binomial
    assert len(split.validation) == pytest.approx(500, abs=75)
    assert (split.method, split.stratified) == ("hash", False)


def test_labels_keep_their_shares_on_every_side() -> None:
    """A rare label with 10 of 1,000 examples has exactly 2 in a test set of 20 %, give or take
    one."""
    labels = ["common"] * 900 + ["seldom"] * 90 + ["rare"] * 10
    examples = [example(f"question {i}", label) for i, label in enumerate(labels)]
    split = split_examples(examples)
    assert split.stratified
    for name, share in (("test", 0.2), ("validation", 0.1)):
        counts = Counter(one.answer for one in select_examples(examples, getattr(split, name)))
        for label, count in Counter(labels).items():
            assert abs(counts[label] - share * count) <= 1, (name, label)


def test_the_first_of_a_side_are_a_fair_sample_of_a_sorted_file() -> None:
    """A limit on the test examples takes the first ones: they must not all have the label that the
    file begins with."""
    examples = [example(f"question {i}", f"label {i // 100}") for i in range(1000)]
    first = select_examples(examples, split_examples(examples).test[:50])
    assert len({one.answer for one in first}) >= 8


def test_three_different_examples_are_enough_and_two_are_not() -> None:
    split = split_examples(different(3))
    assert [len(split.train), len(split.validation), len(split.test)] == [1, 1, 1]
    with pytest.raises(DataError, match="data/too-few"):
        split_examples(different(2))
    with pytest.raises(DataError, match="data/too-few"):
        split_examples([example("the same question", f"answer {i}") for i in range(50)])


def test_exact_duplicates_are_kept_once_on_their_side() -> None:
    examples = [*different(20), *different(20)]
    split = split_examples(examples)
    on_sides = [
        select_examples(examples, getattr(split, name)) for name in ("train", "validation", "test")
    ]
    assert sum(map(len, on_sides)) == 20
    assert all(one.line <= 20 for side in on_sides for one in side)


def test_a_given_test_file_stays_whole_and_what_asks_the_same_is_never_held_out() -> None:
    examples = different(50)
    test = [
        example("QUESTION  3", "another answer"),
        example("question 4", "answer 4"),
        example("new"),
    ]
    split = split_examples(examples, test=test)
    assert split.method == "given-test"
    assert set(split.test) == {one.id for one in test}
    assert {examples[3].id, examples[4].id} <= {*split.train}
    assert not {examples[3].id, examples[4].id} & {*split.validation}
    assert len(split.train) + len(split.validation) == 50


def test_a_given_split_is_kept_and_completed() -> None:
    examples = different(60)
    sides = ["test"] * 10 + ["train"] * 50
    split = split_examples(examples, declared_splits=sides)
    assert split.method == "given"
    assert set(split.test) == {one.id for one in examples[:10]}
    assert split.validation and len(split.validation) + len(split.train) == 50
    whole = split_examples(
        examples, declared_splits=["test"] * 10 + ["validation"] * 10 + ["train"] * 40
    )
    assert [len(whole.train), len(whole.validation), len(whole.test)] == [40, 10, 10]


def test_in_a_given_split_test_goes_before_validation() -> None:
    examples = [example("same"), example("SAME", "x"), example(" same", "y"), *different(10)]
    split = split_examples(
        examples,
        declared_splits=["train", "validation", "test", *["train"] * 8, "validation", "test"],
    )
    assert examples[2].id in split.test
    assert examples[0].id in split.train and examples[1].id not in {
        *split.train,
        *split.validation,
        *split.test,
    }


def conversation(*turns: str, line: int = 1) -> Example:
    roles = ("user", "assistant") * len(turns)
    return Example(
        line, tuple(Message(role, turn) for role, turn in zip(roles, turns, strict=False))
    )


def test_rows_of_one_conversation_stay_on_one_side() -> None:
    chats = [
        [f"hello {k}", f"answer {k}", f"more of {k}", f"so {k}", f"and {k}", f"done {k}"]
        for k in range(30)
    ]
    rows = [
        conversation(*chat[:end], line=3 * k + end // 2)
        for k, chat in enumerate(chats)
        for end in (2, 4, 6)
    ]
    sides = side_of(split_examples(rows))
    for k in range(30):
        assert len({sides[row.id] for row in rows[3 * k : 3 * k + 3]}) == 1


def test_conversations_that_only_begin_alike_are_free() -> None:
    rows = [
        conversation("hello", "hi, how can I help?", f"question {k}", f"answer {k}")
        for k in range(40)
    ]
    counts = Counter(side_of(split_examples(rows)).values())
    assert min(counts["train"], counts["test"]) >= 3
