"""DSPy's search, where DSPy is installed: what it finds comes back as a candidate that asks what
DSPy asked."""

from collections.abc import Sequence
from typing import Any

import pytest

from tunesmith.contenders.prompting.dspy_search import build_candidate, search_by_dspy
from tunesmith.errors import MissingExtraError
from tunesmith.records import Completer, Completion, Example, Message, ProgressCallback, Prompt


def example(i: int) -> Example:
    messages = (
        Message("system", "Sort."),
        Message("user", f"number {i}"),
        Message("assistant", "odd" if i % 2 else "even"),
    )
    return Example(line=i, messages=messages)


class Pupil:
    """Knows odd from even only when two shots stand before the question; proposes one
    instruction."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        self.prompts += prompts
        return [Completion(self._answer(prompt), 1, 1, 0.0) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> str:
        question = prompt[-1].content
        if not question.startswith("number "):
            return "Say odd or even."
        knows = sum(message.role == "assistant" for message in prompt) >= 2
        return ("odd" if int(question.split()[1]) % 2 else "even") if knows else "dunno"


def measure(completer: Completer, examples: Sequence[Example]) -> list[float | None]:
    completions = completer.complete([e.prompt for e in examples])
    return [float(c.text == e.answer) for c, e in zip(completions, examples, strict=True)]


def test_it_finds_shots_and_an_instruction() -> None:
    pytest.importorskip("dspy")
    pytest.importorskip("optuna")
    pupil = Pupil()
    train, validation = [example(i) for i in range(20)], [example(i) for i in range(20, 30)]
    candidate = build_candidate(
        search_by_dspy(pupil, train, validation, measure, trials=4, shots=3, seed=1)
    )
    assert len(candidate.shots) >= 2 and candidate.instruction
    asked = list(pupil.prompts)
    assert measure(candidate.wrap(pupil), validation) == [1.0] * 10
    assert pupil.prompts[-1] in asked, "DSPy asked the same as the candidate asks"
    assert pupil.prompts[-1][0].content.startswith("Sort.\n\n")


def test_without_dspy_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("tunesmith.contenders.prompting.dspy_search.import_module", refuse)
    with pytest.raises(MissingExtraError) as caught:
        search_by_dspy(Pupil(), [example(1)], [example(2)], measure, trials=2, shots=1, seed=0)
    assert str(caught.value) == (
        "error[install/missing-extra]: A prompt search by DSPy requires an optional "
        'dependency\n  got: not installed\n  hint: pip install "tunesmith[dspy]"'
    )
