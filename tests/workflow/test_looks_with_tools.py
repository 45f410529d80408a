"""What a training asks at a validation pass, where the examples use tools."""

from pathlib import Path
from typing import Any

from tunesmith.records import Completion, Example, Message, get_offered_tools
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal
from tunesmith.runs.training_data import TrainingData
from tunesmith.testing.recording_listener import RecordingListener
from tunesmith.testing.resolved_recipes import resolve_test_recipe
from tunesmith.training.training_callbacks import MetricRecorder, build_generation_scorer

CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}
TOOL = {"type": "function", "function": {"name": "f"}}


class Model:
    """A model that answers nothing, which is what a call's empty text would be taken for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tools: list[Any] = []

    def create_completer(self, max_new_tokens: int) -> "Model":
        return self

    def complete(self, prompts: Any, progress: Any = None) -> list[Completion]:
        self.asked += [prompt[-1].content for prompt in prompts]
        self.tools += [get_offered_tools(prompt) for prompt in prompts]
        return [Completion("", 1, 0, 0.0) for _ in prompts]


def test_examples_that_use_tools_are_asked_with_them_and_calls_are_scored(tmp_path: Path) -> None:
    call = Example(
        1, (Message("user", "calls"), Message("assistant", "", tool_calls=(CALL,))), tools=(TOOL,)
    )
    offered = Example(2, (Message("user", "offered"), Message("assistant", "yes")), tools=(TOOL,))
    listener, model = RecordingListener(), Model()
    run = RunFolder.create(tmp_path, "data")
    lines = MetricRecorder(run, listener, resolve_test_recipe(), 0)
    lesson = TrainingData({}, [call, offered], [call.answer, call.answer, "yes"])
    score = build_generation_scorer(lesson, resolve_test_recipe(), run, model, lines, StopSignal())  # type: ignore[arg-type]
    assert score is not None
    # The model answers nothing: wrong for the call, right where nothing is to be called.
    assert score(2) == ("call_accuracy", 0.5)
    assert model.asked == ["calls", "offered"] and model.tools == [(TOOL,), (TOOL,)]
    assert [one.expected for one in run.read_samples().records] == [call.answer, "yes"]
