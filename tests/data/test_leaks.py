"""A test set stays a test set: what leaks is found, blocks or is left out, and what is only alike
stays."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.data.contamination import (
    describe_contamination,
    find_contamination,
    resolve_contamination,
)
from tunesmith.data.split import split_examples
from tunesmith.errors import GateFailed
from tunesmith.records import ContaminationKind, Example, Message, Origin

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.calibrate_leaks import rows

DICE = random.Random(3)
WORDS = [
    "".join(DICE.choices("abcdefghijklmnopqrstuvwxyz", k=DICE.randint(3, 9))) for _ in range(3000)
]


def example(
    line: int, question: str, answer: str = "yes", group: str | None = None, system: str = ""
) -> Example:
    first = (Message("system", system),) if system else ()
    return Example(
        line, (*first, Message("user", question), Message("assistant", answer)), group=group
    )


def sentence(words: int = 20) -> str:
    return " ".join(DICE.choices(WORDS, k=words))


def others(count: int = 40, first_line: int = 100) -> list[Example]:
    return [example(first_line + i, sentence()) for i in range(count)]


LONG = "please tell me when the new card that I ordered last week will arrive at my home"


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (LONG, "exact"),
        (LONG.upper() + "  ", "normalised"),
        (f"{sentence(3)} {LONG} {sentence(9)}", "13-gram"),
        (
            "please tell me when the new crad that I ordered last week will arrive at my home!!",
            "near",
        ),
        (
            "Please tell me when the new card that we ordered last week will arrive at my home",
            "near",
        ),
        (
            "tell me please when my home will arrive at the new card that I ordered last week",
            "near",
        ),
        ("please tell me when the new bike that he bought last year will be back at my shop", None),
        (sentence(), None),
    ],
)
def test_each_kind_is_told_from_the_others(asked: str, kind: ContaminationKind | None) -> None:
    leaks = find_contamination(
        [*others(), example(7, LONG)], [example(1, sentence()), example(2, asked)]
    )
    assert leaks.count_by_kind() == ({kind: 1} if kind else {})
    assert [(leak.held_out_line, leak.train_line) for leak in leaks.examples] == (
        [(2, 7)] if kind else []
    )
    assert [leak.train_line for leak in leaks.train_examples] == ([7] if kind else [])


@pytest.mark.parametrize(
    ("a", "b", "leaks"),
    [
        ("How do I reset my PIN?", "How do I reset my PIN, please?", True),
        ("Hi there, how do I reset my PIN? Thanks", "How do I reset my PIN?", True),
        ("My top-up has failed again today", "My top up has falied again today!", True),
        ("How do I reset my PIN?", "How can we change our PIN?", False),
        ("Where is my card?", "Where was my card?", False),  # four words meet by chance
        (
            "Where is order 4411 that I paid for on Monday?",
            "Where is order 4412 that I paid for on Monday?",
            False,
        ),
        ("How do I top up by card when I am abroad?", "How do I top up?", False),
        ("我的银行卡为什么还没有寄到我家里", "我的银行卡为什么还没有送到我家里", True),
        ("我的银行卡为什么还没有寄到我家里", "请问怎样才能修改账户的登录密码呢", False),
    ],
)
def test_what_is_a_copy_with_small_changes_and_what_is_only_alike(
    a: str, b: str, leaks: bool
) -> None:
    found = find_contamination([*others(), example(7, a)], [example(1, b)])
    assert found.count_by_kind() == ({"near": 1} if leaks else {})


def test_a_copy_with_another_label_is_no_leak_for_remembering_it_helps_nobody() -> None:
    train = [example(i, sentence(), f"label {i % 4}") for i in range(40)]
    asked = "How do I get a virtual card here?"
    train.append(example(50, asked, "label 1"))
    assert find_contamination(
        train, [example(1, "How can I get a virtual card here?", "label 1")]
    ).count_by_kind() == {"near": 1}
    assert (
        find_contamination(
            train, [example(1, "How can I get a virtual card here?", "label 2")]
        ).count_by_kind()
        == {}
    )


def test_the_same_group_is_the_weakest_kind_and_no_group_is_none() -> None:
    train = [example(1, LONG, group="a"), example(2, sentence(), group="b"), example(3, sentence())]
    leaks = find_contamination(
        train,
        [example(1, LONG, group="a"), example(2, sentence(), group="b"), example(3, sentence())],
    )
    assert leaks.count_by_kind() == {"exact": 1, "group": 1}
    assert (
        leaks.format_summary()
        == "exact 1 (line 1 like train line 1); group 1 (line 2 like train line 2)"
    )


def test_an_instruction_that_all_share_is_not_compared() -> None:
    form = (
        "Read the message of the customer and say which of the following departments should"
        " answer it:"
    )
    train = [example(i, f"{form} {sentence(8)}") for i in range(60)]
    leaks = find_contamination(train, [example(i, f"{form} {sentence(8)}") for i in range(20)])
    assert leaks.count_by_kind() == {}
    asked = train[7].question.replace(form, "").strip()
    assert find_contamination(train, [example(1, f"{form} {asked} thanks")]).count_by_kind() == {
        "near": 1
    }
    system = [example(i, sentence(8), system=form) for i in range(60)]
    assert (
        find_contamination(
            system, [example(i, sentence(8), system=form) for i in range(20)]
        ).count_by_kind()
        == {}
    )


def test_set_phrases_in_a_row_are_no_copied_run() -> None:
    phrases = [sentence(8) for _ in range(6)]
    made = {(a, b, sentence(6)) for a in phrases for b in phrases if a != b for _ in range(5)}
    asked = [" ".join(parts) for parts in sorted(made)]
    train, test = (
        [example(i, text) for i, text in enumerate(half)] for half in (asked[::2], asked[1::2])
    )
    assert find_contamination(train, test).count_by_kind() == {}


def test_plain_texts_are_compared_as_they_are() -> None:
    train = [Example(i, text=sentence(30)) for i in range(40)]
    test = [
        Example(1, text=train[5].text),
        Example(2, text=f"{train[6].text} indeed"),
        Example(3, text=sentence(30)),
    ]
    assert find_contamination(train, test).count_by_kind() == {"exact": 1, "13-gram": 1}


# --- what is done about it
# --------------------------------------------------------------------------------------------


def test_a_question_of_training_in_a_given_test_file_stops_and_shows_the_pair() -> None:
    train = [*others(), example(7, LONG), example(8, "How do I reset my PIN code?")]
    test = [example(3, LONG), example(4, "How do I reset my PIN code, please?"), *others(8, 20)]
    split = split_examples(train, test=test)
    with pytest.raises(GateFailed) as caught:
        resolve_contamination(split, train, test=test)
    short = LONG
    assert str(caught.value) == (
        f"error[gate/leak]: 1 of 10 test examples also appears in the train data\n"
        f"  at: test line 3\n"
        f'  got: exact 1 (line 3 like train line 7): test line 3 "{short}" ~ train line 7 '
        f'"{short}"\n'
        "  hint: remove them from one split; or allow them: --set"
        " 'data.allow_contamination=[exact]' keeps them in the train split and also reports the"
        " score on the other test examples"
    )
    assert caught.value.exit_code == 1
    settled, leaks = resolve_contamination(split, train, ["exact"], test=test)
    assert settled == split
    assert set(leaks.contaminated_test_ids) == {test[0].id, test[1].id}
    assert (leaks.allowed_kinds, leaks.removed_train_ids, leaks.is_templated) == (
        ("exact",),
        (),
        False,
    )
    assert describe_contamination(leaks, len(split.train)) == [
        "2 test examples resemble train examples (exact 1 (line 3 like train line 7); near 1 "
        "(line 4 like train line 8)); allowed by data.allow_contamination. The score on the "
        f'other test examples is also reported. For example test line 3 "{short}" ~ train '
        f'line 7 "{short}"; test line 4 "How do I reset my PIN code, please?" ~ train line '
        '8 "How do I reset my PIN code?"'
    ]


@pytest.mark.parametrize(
    ("train_asks", "test_asks"),
    [
        ("i would like you to call me otto", "i would like you to call me mara"),
        ("how many calories are in a pretzel", "how many calories are in a waffle"),
        ("what is the credit limit of my blue card", "what is the limit on my blue card"),
        ("turn off the light in the hall", "turn off the lights in the cellar"),
    ],
)
def test_the_same_template_with_another_word_stops_no_run(train_asks: str, test_asks: str) -> None:
    """Nothing about such a pair says whether the word decides the answer, so a person is shown
    it."""
    train = [*others(), example(7, train_asks)]
    test = [example(3, test_asks), *others(8, 20)]
    settled, leaks = resolve_contamination(split_examples(train, test=test), train, test=test)
    assert set(leaks.count_by_kind()) <= {"near", "13-gram"} and not leaks.removed_train_ids
    for note in describe_contamination(leaks, len(settled.train)):
        assert note.startswith(
            "1 test example resembles a train example (near 1 (line 3 like train line 7)). The"
        )
        assert (
            f'test line 3 "{test_asks}" ~ train line 7 "{train_asks}"' in note
            and "allowed" not in note
        )


def test_a_group_on_both_given_sides_stops_and_is_called_a_group() -> None:
    train = [*others(), example(7, LONG, group="a")]
    test = [example(3, sentence(), group="a"), *others(8, 20)]
    with pytest.raises(GateFailed, match="1 of 9 test examples shares a group with train examples"):
        resolve_contamination(split_examples(train, test=test), train, test=test)


def test_a_leak_into_a_given_validation_side_stops_too() -> None:
    examples = [*others(30), example(7, LONG), example(8, LONG.upper()), *others(5, 50)]
    sides = ["train"] * 31 + ["validation"] + ["test"] * 5
    with pytest.raises(
        GateFailed, match="1 of 1 validation example also appears in the train data"
    ):
        resolve_contamination(
            split_examples(examples, declared_splits=sides), examples, declared_splits=sides
        )


def test_in_our_own_split_the_train_copies_are_left_out() -> None:
    examples = others(200)
    copies = [
        example(1000 + i, one.question + " thanks a lot") for i, one in enumerate(examples[:12])
    ]
    split = split_examples([*examples, *copies])
    settled, leaks = resolve_contamination(split, [*examples, *copies])
    assert 0 < len(leaks.removed_train_ids) <= 12 and not leaks.contaminated_test_ids
    assert settled.train == tuple(id_ for id_ in split.train if id_ not in leaks.removed_train_ids)
    assert (settled.test, settled.validation) == (split.test, split.validation)
    assert resolve_contamination(settled, [*examples, *copies])[1].count_by_kind() == {}
    [note] = describe_contamination(leaks, len(split.train))
    assert note.startswith(
        f"{len(leaks.removed_train_ids)} of {len(split.train)} train examples were excluded as near"
        " duplicates of held-out ones "
    )


def test_leaks_between_files_name_both_files() -> None:
    def of(file: str, line: int, asked: str) -> Example:
        return replace(example(line, asked), origin=Origin(file))

    train = [of("a.jsonl", 7, "where is it?"), of("b.jsonl", 1, "who is it?")]
    leaks = find_contamination(train, [of("t.jsonl", 3, "where is it?")])
    assert leaks.format_summary() == "exact 1 (t.jsonl line 3 like train a.jsonl line 7)"
    assert (
        leaks.format_pairs()
        == 'test t.jsonl line 3 "where is it?" ~ train a.jsonl line 7 "where is it?"'
    )
    several = find_contamination(
        train, [of("t.jsonl", 3, "where is it?"), of("t.jsonl", 4, "who is it?")]
    )
    assert (
        several.format_summary()
        == "exact 2 (t.jsonl line 3 like train a.jsonl line 7, t.jsonl line 4 like train b.jsonl"
        " line 1)"
    )


def test_data_written_on_forms_is_left_whole_and_told() -> None:
    bases = [sentence(14) for _ in range(40)]
    examples = [example(i, f"{base} {DICE.choice(WORDS)}") for i, base in enumerate(bases * 5)]
    split = split_examples(examples)
    settled, leaks = resolve_contamination(split, examples)
    assert settled == split and leaks.is_templated and not leaks.removed_train_ids
    assert (
        set(leaks.contaminated_test_ids) <= set(split.test)
        and len(leaks.contaminated_test_ids) > len(split.test) / 2
    )
    assert "data.group_column" in describe_contamination(leaks, len(split.train))[0]


def test_nothing_that_leaks_changes_nothing() -> None:
    examples = others(60)
    split = split_examples(examples)
    settled, leaks = resolve_contamination(split, examples)
    assert (
        settled,
        leaks.examples,
        leaks.contaminated_test_ids,
        describe_contamination(leaks, 40),
    ) == (
        split,
        (),
        (),
        [],
    )


def test_planted_leaks_are_found_and_only_these() -> None:
    """The bars of the issue, on made-up messages; `benchmarks/calibrate_leaks.py` says how and
    takes other data."""
    measured = rows(quick=True)
    assert [row for row in measured if row["low_bar"] is not None and not row["holds"]] == []
    assert len([row for row in measured if row["low_bar"] is not None]) == 12
