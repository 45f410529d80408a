"""Candidate prompts: which shot sets and instructions are tried, what fits, and that they stand
where they should."""

import json
from collections.abc import Sequence

from tunesmith.contenders.prompting.context_budget import ContextBudget, count_fitting
from tunesmith.contenders.prompting.few_shot import append_instruction
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.prompting.prompt_candidates import build_prompt_candidates
from tunesmith.contenders.prompting.prompt_instructions import (
    NO_INSTRUCTION,
    Instruction,
    find_last_line_prefix,
    write_instructions,
)
from tunesmith.contenders.prompting.shot_set_candidates import (
    build_shot_candidates,
    list_powers_of_two,
)
from tunesmith.errors import ModelError
from tunesmith.records import (
    Completion,
    Example,
    Message,
    OutputConstraint,
    ProgressCallback,
    Prompt,
)
from tunesmith.testing.fake_tokenizer import FakeTokenizer


class Recorder:
    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        self.prompts += prompts
        return [Completion("x", 1, 1, 0.1) for _ in prompts]


def example(question: str, answer: str) -> Example:
    return Example(line=1, messages=(Message("user", question), Message("assistant", answer)))


TRAIN = [example(f"question {i}", f"label{i % 6}") for i in range(60)]
LABELS = OutputConstraint(labels=tuple(f"label{i}" for i in range(6)))
ASKING: Prompt = (Message("user", "a question"),)


def test_numbers_double_up_to_what_is_asked() -> None:
    assert [list_powers_of_two(most) for most in (1, 2, 5, 8)] == [
        [1],
        [1, 2],
        [1, 2, 4, 5],
        [1, 2, 4, 8],
    ]


def test_shot_sets_from_few_to_many_and_one_of_each_label() -> None:
    candidates = build_shot_candidates(TRAIN, 5, seed=0, labels=6)
    assert [candidate.name for candidate in candidates] == [
        "1 shot (set 1)",
        "1 shot (set 2)",
        "2 shots (set 1)",
        "2 shots (set 2)",
        "4 shots (set 1)",
        "4 shots (set 2)",
        "5 shots (set 1)",
        "5 shots (set 2)",
        "6 shots (one of each label)",
    ]
    assert {shot.answer for shot in candidates[-1].shots} == set(LABELS.labels)
    assert (
        candidates[0].shots == candidates[2].shots[:1]
        and candidates[2].shots != candidates[3].shots
    )
    assert candidates[2].description == "2 fixed training examples (set 1)"
    inner = Recorder()
    candidates[0].wrap(inner).complete([ASKING])
    assert inner.prompts == [(*candidates[0].shots[0].messages, *ASKING)]


def test_the_same_shots_are_tried_once() -> None:
    few = [example("only", "x")]
    assert [candidate.name for candidate in build_shot_candidates(few, 4, seed=0)] == [
        "1 shot (set 1)"
    ]
    assert build_shot_candidates([], 4, seed=0) == []


def test_sets_that_leave_no_room_are_not_tried() -> None:
    tokenizer = FakeTokenizer()
    two = build_shot_candidates(TRAIN, 2, seed=0)[2].wrap(inner := Recorder())
    two.complete([ASKING])
    length = len(tokenizer.encode([tokenizer.render(inner.prompts[0], open_answer=True)])[0].ids)
    room = ContextBudget(tokenizer, length)
    names = [
        candidate.name
        for candidate in build_shot_candidates(
            TRAIN, 8, 0, labels=0, longest_prompt=ASKING, context_budget=room
        )
    ]
    assert "2 shots (set 1)" in names and not any(name.startswith(("4", "8")) for name in names)


def test_as_many_pieces_as_fit() -> None:
    class Refusing(FakeTokenizer):
        def render(self, *given: object, **named: object) -> str:
            raise ModelError("no", "no")

    def build(pieces: int) -> Prompt:
        return (Message("user", "word " * (pieces + 1)),)

    tokenizer = FakeTokenizer()
    length = len(tokenizer.encode([tokenizer.render(build(3), open_answer=True)])[0].ids)
    assert count_fitting(build, 9, ContextBudget(tokenizer, length)) == 3
    assert count_fitting(build, 9, ContextBudget(tokenizer, 0)) == 0
    assert count_fitting(build, 9, None) == 9
    assert count_fitting(build, 9, ContextBudget(Refusing(), 0)) == 9, (
        "whoever answers says why the template refuses"
    )


def test_an_added_instruction_stands_after_the_system_message() -> None:
    inner = Recorder()
    PromptBuilder("Be short.").wrap(inner).complete(
        [ASKING, (Message("system", "Sort mail."), *ASKING)]
    )
    assert inner.prompts == [
        (Message("system", "Be short."), *ASKING),
        (Message("system", "Sort mail.\n\nBe short."), *ASKING),
    ]


def test_labels_are_listed_in_several_ways() -> None:
    instructions = write_instructions(TRAIN, LABELS, seed=0)
    assert [instruction.name for instruction in instructions] == [
        "no added instruction",
        "label only",
        "labels in a line",
        "labels in a list",
        "labels with an example each",
    ]
    assert all(
        label in instruction.text for instruction in instructions[2:] for label in LABELS.labels
    )
    assert instructions[-1].text.count('for example: "question') == 6


def test_json_is_described_by_its_keys() -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": ["number", "null"]}, "x": {}},
        "required": ["kind", "x"],
    }
    train = [example(f"q{i}", json.dumps({"kind": "a", "x": i})) for i in range(5)]
    instructions = write_instructions(train, OutputConstraint(json_schema=schema), seed=0)
    described = next(
        instruction for instruction in instructions if instruction.name == "keys described"
    )
    assert (
        described.text == "Answer with one JSON object and nothing else. Its keys:\n"
        '- "kind" (one of "a", "b")\n- "n" (number or null; may be left out)\n- "x"'
    )
    assert (
        instructions[-1].text.startswith(described.text)
        and '{"kind": "a", "x": ' in instructions[-1].text
    )
    listed = write_instructions(train, OutputConstraint(json_schema={"type": "array"}), seed=0)
    assert [instruction.name for instruction in listed][:2] == ["no added instruction", "JSON only"]


def test_other_answers_are_described_by_length_last_line_and_samples() -> None:
    train = [example(f"q{i}", f"It is {i} and {i}.\n#### {i}") for i in range(40)]
    texts = {
        instruction.name: instruction.text
        for instruction in write_instructions(train, None, seed=0)
    }
    assert 'Let the last line begin with "####"' in texts["last line"]
    assert texts["samples"].count("<answer>") == 2
    long = [example(f"q{i}", "word " * 30) for i in range(9)]
    assert write_instructions(long, None, seed=0)[1].text == "Answer in about 30 words."


def test_the_mark_of_the_last_line_is_no_half_word() -> None:
    assert find_last_line_prefix([f"x\nAnswer: 1{i}" for i in range(9)]) == "Answer:"
    assert find_last_line_prefix([f"x\n#### 1,{i}" for i in range(5)] + ["one line"]) == ""
    assert find_last_line_prefix(["x\nsame"] * 5) == find_last_line_prefix([]) == ""


def test_the_search_tries_instructions_with_the_best_shots_first() -> None:
    instructions = [NO_INSTRUCTION, Instruction("a", "A" * 9), Instruction("b", "B" * 99)]
    sets = build_shot_candidates(TRAIN, 2, seed=0)[2:]
    everything = build_prompt_candidates(instructions, sets, trials=99)
    assert len(everything) == 3 * 3 - 1, "the bare question is zero-shot's"
    assert {
        candidate.name for candidate in build_prompt_candidates(instructions, sets, trials=4)
    } == {
        "2 shots (set 1)",
        "a + 2 shots (set 1)",
        "b + 2 shots (set 1)",
        "a",
    }
    assert [candidate.name for candidate in everything][:1] == ["a"], "the simplest first"
    assert build_prompt_candidates(instructions, sets, trials=0) == []


def test_a_searched_prompt_is_asked_as_it_is_told() -> None:
    both = build_prompt_candidates(
        [Instruction("a", "Be short.")], build_shot_candidates(TRAIN, 1, 0)[:1], trials=1
    )[0]
    inner = Recorder()
    both.wrap(inner).complete([ASKING])
    assert inner.prompts == [(Message("system", "Be short."), *both.shots[0].messages, *ASKING)]
    assert both.description == 'the instruction "a" and 1 fixed training example (set 1)'
    assert (
        both.instruction == "Be short."
        and append_instruction(ASKING, "Be short.")[0] == inner.prompts[0][0]
    )


def test_searched_prompts_fit() -> None:
    instructions = [Instruction("short", "Hm."), Instruction("long", "word " * 500)]
    candidates = build_prompt_candidates(
        instructions, [], 8, ASKING, ContextBudget(FakeTokenizer(), 200)
    )
    assert [candidate.name for candidate in candidates] == ["short"]
