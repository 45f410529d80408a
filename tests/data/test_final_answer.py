"""The final answer behind reasoning, in every form that models write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.final_answer import explain_reasoning, extract_final_answer, has_reasoning


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("<think>\n12 + 3\n</think>\n\n15", "15"),
        ("<think></think>15", "15"),
        ("<Thinking>a</Thinking> 15", "15"),
        ("<reasoning>\na\n</reasoning>\n<answer>\n15\n</answer>", "15"),
        ("<thought>a</thought>15", "15"),
        ("[THINK]a[/THINK]15", "15"),
        ("◁think▷a◁/think▷15", "15"),
        ("<seed:think>a</seed:think>15", "15"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>15<|END_RESPONSE|>", "15"),
        ("<|channel>thought\na<channel|>15", "15"),
        (
            "12 + 3 is fifteen\n</think>\n\n15",
            "15",
        ),  # the chat template has written the opening tag
        ("a</think>b</think>15", "15"),
        ("<think>a<think>b</think>c</think>15", "15"),
        ("<think>a</think>first <think>b</think>15", "first 15"),
        ("<think>\n12 + 3 is", ""),
        ("The answer is 15.\n<think>or is it", "The answer is 15."),
        ("<think>write `<think>` and ```py\nx\n</think>15", "15"),
        (
            (
                "<|channel|>analysis<|message|>12 +"
                " 3<|end|><|start|>assistant<|channel|>final<|message|>15<|return|>"
            ),
            "15",
        ),
        ("<|channel|>analysis<|message|>12 + 3", ""),
        ('<|channel|>final <|constrain|>json<|message|>{"a": 1}', '{"a": 1}'),
        ("analysisWe add 12 and 3.assistantfinal15", "15"),
        ("<answer>15</answer>", "15"),
        ("12 + 3 = 15, so <answer>15</answer>", "15"),
    ],
)
def test_reasoning_is_taken_off(text: str, final: str) -> None:
    assert extract_final_answer(text) == final


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "  spaces stay \n",
        "a < b and [c]",
        "The tag `<think>` opens it and `</think>` closes it.",
        "Use ```\n<think>\n</think>\n``` for it.",
        "Write <think> before you reason.",
        "<response><answer>15</answer></response>",
        "analysis of the final",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert extract_final_answer(text) == text
    assert not has_reasoning(text)


def test_how_many_texts_contain_reasoning_is_said() -> None:
    assert (
        explain_reasoning(["15", "<think>a</think>15"])
        == "1 of 2 answers contain reasoning: only the final answer is compared."
    )
    assert explain_reasoning(["15"]) == ""


@given(st.text())
def test_any_text_has_a_final_answer_that_is_its_own_final_answer_or_shorter(text: str) -> None:
    final = extract_final_answer(text)
    assert final == text or len(final) < len(text)


@given(st.text(alphabet="ab 1\n"), st.text(alphabet="xyz .\n"))
def test_reasoning_before_an_answer_changes_nothing(answer: str, reasoning: str) -> None:
    assert extract_final_answer(f"<think>{reasoning}</think>{answer}") == answer.strip()
    assert extract_final_answer(f"{reasoning}</think>{answer}") == answer.strip()
