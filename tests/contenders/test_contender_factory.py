"""Who takes part: the labels are always shown to a contender, unless they leave no room, which is
said."""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.contenders.candidate_selection import CandidateSelector
from tunesmith.contenders.contender_factory import ContenderFactory
from tunesmith.contenders.contender_models import ContenderModel
from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.user_prompts import UserPrompt
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.records import (
    Completion,
    Example,
    Message,
    OutputConstraint,
    ProgressCallback,
    Prompt,
    Recipe,
    RetrievalRecipe,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal
from tunesmith.testing.fake_tokenizer import FakeTokenizer
from tunesmith.testing.recording_listener import RecordingListener
from tunesmith.testing.resolved_recipes import resolve_test_recipe

LABELS = ("fruit", "tool", "place")


class Obedient:
    """Knows the answer where it was told all labels, else it chats."""

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt."""
        texts = [
            (
                prompt[-1].content.split()[-1]
                if all(label in prompt[0].content for label in LABELS)
                else "Let me think."
            )
            for prompt in prompts
        ]
        return [Completion(text, 1, 1, 0.0) for text in texts]


def example(line: int, question: str, answer: str) -> Example:
    return Example(line, (Message("user", question), Message("assistant", answer)))


EXAMPLES = [
    example(i, f"question {i} is about a {LABELS[i % 3]}", LABELS[i % 3]) for i in range(30)
]


def entrants(
    tmp_path: Path,
    room: ContextBudget | None,
    listener: RecordingListener,
    more: Sequence[Example] = (),
    prompts: Sequence[UserPrompt] = (),
) -> dict[str, RunnableContender]:
    recipe = Recipe(retrieval=RetrievalRecipe(search="bm25", top_k=2))
    recipe = recipe.model_copy(
        update={
            "evaluation": recipe.evaluation.model_copy(update={"prompt_trials": 0, "max_shots": 2})
        }
    )
    scorer, _ = choose_scorer([one.answer for one in EXAMPLES])
    chooser = CandidateSelector(
        EXAMPLES[20:], scorer, 0, listener, StopSignal(), RunFolder.create(tmp_path, "r")
    )
    lineup = ContenderFactory(
        resolve_test_recipe(recipe),
        [*EXAMPLES[:20], *more],
        EXAMPLES[20:],
        OutputConstraint(labels=LABELS),
        chooser,
        prompts=prompts,
    )
    who = ContenderModel("", "base model", Obedient(), context_budget=room)
    return {entrant.spec.name: entrant for entrant in lineup.build_untuned_contenders(who)}


def test_the_labels_are_shown_whatever_the_search_for_prompts(tmp_path: Path) -> None:
    found = entrants(tmp_path, None, RecordingListener())
    assert list(found) == ["zero-shot", "zero-shot+labels", "few-shot", "rag"]
    shown = found["zero-shot+labels"]
    assert shown.spec.kind == "zero-shot" and shown.inference_config is not None
    assert all(label in shown.inference_config.instruction for label in LABELS)
    assert [one.text for one in shown.completer.complete([EXAMPLES[0].prompt])] == ["fruit"]


def test_the_best_shots_are_tried_beside_the_labels_too(tmp_path: Path) -> None:
    serving = entrants(tmp_path, None, RecordingListener())["few-shot"].inference_config
    assert serving is not None and serving.shots and "fruit" in serving.instruction


def test_labels_that_leave_no_room_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    listener = RecordingListener()
    tokenizer = FakeTokenizer()
    longest = max(
        len(tokenizer.encode([tokenizer.render(one.prompt, open_answer=True)])[0].ids)
        for one in EXAMPLES
    )
    found = entrants(tmp_path, ContextBudget(tokenizer, longest + 5), listener)
    assert "zero-shot+labels" not in found
    assert [note.partition(":")[0] for note in listener.messages if "skipping" in note] == [
        "skipping zero-shot+labels"
    ]


def test_a_question_that_no_prompt_has_room_for_does_not_leave_the_labels_out(
    tmp_path: Path,
) -> None:
    outlier = example(99, "very " * 900 + "long fruit", "fruit")
    found = entrants(tmp_path, ContextBudget(FakeTokenizer(), 600), RecordingListener(), [outlier])
    assert "zero-shot+labels" in found and "few-shot" in found


def test_prompts_of_the_users_own_are_contenders_with_their_names(tmp_path: Path) -> None:
    own = [
        UserPrompt("mine", "fruit, tool or place? {input}"),
        UserPrompt("role", system="fruit tool place"),
    ]
    found = entrants(tmp_path, None, RecordingListener(), prompts=own)
    assert list(found) == ["zero-shot", "zero-shot+labels", "mine", "role", "few-shot", "rag"]
    assert found["mine"].spec.description == 'base model, your own prompt "mine"'
    assert [one.text for one in found["role"].completer.complete([EXAMPLES[1].prompt])] == ["tool"]
