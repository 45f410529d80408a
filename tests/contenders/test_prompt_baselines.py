"""Few-shot prompting: where the shots stand, and that they are chosen well, the same way each
time."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.contenders.prompting.few_shot import choose_shots
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.records import Completion, Example, Message, ProgressCallback, Prompt


def example(question: str, answer: str, system: str | None = None) -> Example:
    head = (Message("system", system),) if system else ()
    return Example(
        line=1, messages=(*head, Message("user", question), Message("assistant", answer))
    )


class Recorder:
    """Keeps what it was asked and answers with its number."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def complete(
        self, prompts: list[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        self.prompts += prompts
        if progress:
            progress(len(prompts), len(prompts))
        return [Completion(str(i), 1, 1, 0.1) for i in range(len(prompts))]


def test_shots_stand_between_the_system_message_and_the_question() -> None:
    inner = Recorder()
    shots = (example("1+1", "2", system="Add."), example("2+2", "4"))
    told: list[tuple[int, int]] = []
    prompts = [(Message("system", "Add."), Message("user", "3+3")), (Message("user", "4+4"),)]
    completions = (
        PromptBuilder(shots=shots).wrap(inner).complete(prompts, lambda *ready: told.append(ready))
    )
    turns = [("user", "1+1"), ("assistant", "2"), ("user", "2+2"), ("assistant", "4")]
    assert [[(m.role, m.content) for m in prompt] for prompt in inner.prompts] == [
        [("system", "Add."), *turns, ("user", "3+3")],
        [*turns, ("user", "4+4")],
    ]
    assert [c.text for c in completions] == ["0", "1"] and told == [(2, 2)]


def test_shots_show_every_label_the_commonest_first() -> None:
    train = [example(f"q{i}", "often" if i % 4 else f"rare{i % 3}") for i in range(60)]
    shots = choose_shots(train, 4, seed=0)
    assert shots[0].answer == "often"
    assert {shot.answer for shot in shots} == {"often", "rare0", "rare1", "rare2"}


def test_shots_of_json_show_different_keys() -> None:
    train = [example(f"q{i}", json.dumps(dict.fromkeys("abc"[: 1 + i % 3], i))) for i in range(30)]
    assert {tuple(json.loads(shot.answer)) for shot in choose_shots(train, 3, seed=1)} == {
        ("a",),
        ("a", "b"),
        tuple("abc"),
    }


def test_the_longest_are_not_shown_while_there_are_others() -> None:
    train = [example(f"q{i}" + " long" * (i >= 23) * 99, str(i)) for i in range(30)]
    assert all("long" not in shot.question for shot in choose_shots(train, 12, seed=0))
    assert len(choose_shots(train, 25, seed=0)) == 25


@given(st.integers(0, 99), st.integers(1, 12))
def test_shots_do_not_depend_on_the_order_of_the_file(seed: int, k: int) -> None:
    train = [example(f"q{i}", f"label {i % 5}") for i in range(20)]
    shuffled = random.Random(seed).sample(train, len(train))
    assert choose_shots(train, k, seed) == choose_shots(shuffled, k, seed)
    assert len({shot.id for shot in choose_shots(train, k, seed)}) == k


def test_another_seed_takes_others() -> None:
    train = [example(f"q{i}", "same") for i in range(40)]
    assert choose_shots(train, 5, 0) != choose_shots(train, 5, 1)


@pytest.mark.parametrize("train", [[], [Example(line=1, text="plain text")]])
def test_without_usable_examples_there_are_no_shots(train: list[Example]) -> None:
    assert choose_shots(train, 5, 0) == ()


def test_one_question_is_shown_once() -> None:
    train = [example("same", answer) for answer in "abc"] + [example("other", "d")]
    assert sorted(shot.question for shot in choose_shots(train, 4, 0)) == ["other", "same"]
