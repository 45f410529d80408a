"""Prompts of the user's own: what a file can hold, and every fault named before anything is
asked."""

import json
import os
from pathlib import Path

import pytest

from tunesmith.contenders.prompting.user_prompts import UserPrompt, read_user_prompts
from tunesmith.errors import RecipeError
from tunesmith.records import Message


def asked(prompt: UserPrompt, *messages: Message) -> list[tuple[str, str]]:
    (changed,) = prompt.candidate.prompt_builder.rewrite_prompts(
        [messages or (Message("user", "where is it?"),)]
    )
    return [(message.role, message.content) for message in changed]


def test_a_text_file_is_one_prompt_called_as_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my first (2).txt"
    file.write_text('Sort {{input}} into {"kind": ...}.\n')
    (prompt,) = read_user_prompts(file)
    assert prompt.name == "my-first-2"
    assert asked(prompt) == [("user", 'Sort where is it? into {"kind": ...}.')]


def test_several_prompts_of_a_text_file_stand_between_lines_of_three_dashes(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text(
        "# Sort\n{input}\n---\nBriefly: {{ question }}\n--- \n\nOne -- dash {prompt},"
        " {prompt}\n---\n"
    )
    prompts = read_user_prompts(file)
    assert [prompt.name for prompt in prompts] == ["mine-1", "mine-2", "mine-3"]
    assert [asked(prompt)[0][1] for prompt in prompts] == [
        "# Sort\nwhere is it?",
        "Briefly: where is it?",
        "\nOne -- dash where is it?, where is it?".lstrip("\n"),
    ]


def test_a_question_with_a_placeholder_in_it_is_not_filled_again(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Say: {input}")
    (prompt,) = read_user_prompts(tmp_path / "p.txt")
    assert asked(prompt, Message("user", r"{input} \1 {question}")) == [
        ("user", r"Say: {input} \1 {question}")
    ]


def test_only_the_last_turn_of_a_conversation_is_put_into_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Say: {input}")
    (prompt,) = read_user_prompts(tmp_path / "p.txt")
    turns = (
        Message("system", "S"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
    )
    assert asked(prompt, *turns) == [
        ("system", "S"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "Say: c"),
    ]


@pytest.mark.parametrize("ending", ["yaml", "yml", "json", "jsonl"])
def test_a_list_names_its_prompts_and_may_have_system_messages(ending: str, tmp_path: Path) -> None:
    rows = [
        {"name": "short", "prompt": "Briefly: {input}"},
        {"name": "role.2", "system": "You sort mail."},
    ]
    file = tmp_path / f"prompts.{ending}"
    file.write_text("\n".join(map(json.dumps, rows)) if ending == "jsonl" else json.dumps(rows))
    short, role = read_user_prompts(file)
    assert asked(short) == [("user", "Briefly: where is it?")]
    assert asked(role, Message("system", "Data."), Message("user", "q")) == [
        ("system", "Data.\n\nYou sort mail."),
        ("user", "q"),
    ]


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.MD", ".hidden"):
        (tmp_path / name).write_text("{input}")
    assert [prompt.name for prompt in read_user_prompts(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("p.txt", "Sort this mail.", "p of p.txt has no {input}"),
        ("p.txt", "Sort {{utterance}} now", "p of p.txt has no {input} but {{utterance}}"),
        ("p.txt", "  \n---\n", "p.txt is empty"),
        ("p.yaml", "name: a\nprompt: b", "p.yaml is not a list"),
        (
            "p.yaml",
            "- {nmae: a, prompt: '{input}'}",
            "p.yaml prompt 1 has 'nmae' (did you mean name?)",
        ),
        ("p.yaml", "- {name: 'a b', prompt: '{input}'}", "p.yaml prompt 1 needs a name"),
        (
            "p.yaml",
            "- {name: a, prompt: 3}",
            "p.yaml prompt 1 is not a mapping of name, prompt, system to texts",
        ),
        (
            "p.yaml",
            "- {name: a, system: 'x {input}'}",
            "a of p.yaml has {input} in its system message",
        ),
        ("p.yaml", "- {name: a}", "a of p.yaml is empty"),
        ("p.yaml", "- {name: a, system: x}\n- {name: a, system: y}", "2 prompts called a"),
        ("p.yaml", "[]", "no prompt"),
    ],
)
def test_what_is_wrong_with_prompts_is_named(
    name: str, text: str, found: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match="bad-prompts") as error:
        read_user_prompts(tmp_path / name)
    assert found in error.value.got


def test_all_faults_of_a_file_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "- {name: a}\n- {name: b, prompt: x}\n- {name: c, prompt: '{input}'}"
    )
    with pytest.raises(RecipeError) as error:
        read_user_prompts(tmp_path / "p.yaml")
    assert (
        "a of p.yaml is empty" in error.value.got
        and "b of p.yaml has no {input}" in error.value.got
    )


@pytest.mark.parametrize(
    "name", ["p.docx", "nothing.txt", "pipe.txt", "broken.yaml", "latin.txt", "large.txt"]
)
def test_a_file_that_cannot_be_read_as_prompts_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.docx").write_bytes(b"PK")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "broken.yaml").write_text("- {name: a\n")
    (tmp_path / "latin.txt").write_bytes("{input} é".encode("latin-1"))
    (tmp_path / "large.txt").write_text("{input}" + " " * (1 << 20))
    with pytest.raises(RecipeError, match="no-prompts"):
        read_user_prompts(tmp_path / name)
