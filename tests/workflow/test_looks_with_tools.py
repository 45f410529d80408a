"""What a training asks at a validation pass, where the examples use tools."""

from pathlib import Path
from typing import Any

import pytest

from tunesmith.records import Completion, Example, Message, Recipe
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal
from tunesmith.runs.training_data import TrainingData
from tunesmith.testing.recording_listener import RecordingListener
from tunesmith.training.training_callbacks import MetricRecorder, build_generation_scorer

CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}
TOOL = {"type": "function", "function": {"name": "f"}}


class Model:
    """A model that answers nothing, which is what a call's empty text would be taken for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def create_completer(self, max_new_tokens: int) -> "Model":
        return self

    def complete(self, prompts: Any, progress: Any = None) -> list[Completion]:
        self.asked += [prompt[-1].content for prompt in prompts]
        return [Completion("", 1, 0, 0.0) for _ in prompts]


def score_of(folder: Path, *validation: Example) -> tuple[Any, Model, RecordingListener]:
    listener, model = RecordingListener(), Model()
    run = RunFolder.create(folder, "data")
    lines = MetricRecorder(run, listener, Recipe(), 0)
    lesson = TrainingData({}, list(validation), ["yes", "no"])
    return (
        build_generation_scorer(lesson, Recipe(), run, model, lines, StopSignal()),
        model,
        listener,
    )  # type: ignore[arg-type]


def test_examples_that_use_tools_are_not_asked_and_that_is_said(tmp_path: Path) -> None:
    """Asked without the tools, and compared with the empty text of a call, an empty answer would be
    right."""
    call = Example(1, (Message("user", "calls"), Message("assistant", "", tool_calls=(CALL,))))
    offered = Example(2, (Message("user", "offered"), Message("assistant", "yes")), tools=(TOOL,))
    plain = Example(3, (Message("user", "plain"), Message("assistant", "yes")))
    score, _, listener = score_of(tmp_path / "a", call, offered)
    assert score is None
    assert listener.messages[0].startswith("2 of 2 validation examples use tools")
    score, model, listener = score_of(tmp_path / "b", call, plain)
    assert score(2)[1] == 0
    assert model.asked == ["plain"]
    assert listener.messages[0].startswith("1 of 2 validation examples use tools")


@pytest.mark.parametrize(
    ("tools", "calls", "uses"), [((), (), False), ((TOOL,), (), True), ((), (CALL,), True)]
)
def test_an_example_uses_tools_where_they_are_offered_or_called_last(
    tools: Any, calls: Any, uses: bool
) -> None:
    answer = Message("assistant", "a", tool_calls=calls)
    assert Example(1, (Message("user", "q"), answer), tools=tools).uses_tools is uses
