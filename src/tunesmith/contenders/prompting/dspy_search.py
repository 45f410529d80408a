"""Prompt search with DSPy's MIPROv2, returned as one of our candidates. Needs the extra `dspy`.

DSPy proposes instructions with the evaluated model itself, draws shots from what that model answers
correctly, and searches both with optuna. Its trial prompts are the prompts of the final candidate:
DSPy's own field markers are left out, and each question keeps its own system message and earlier
turns. It sends one question at a time, so it is far slower than `prompt_candidates.py`, and a small
model proposes poor instructions; for a model behind a URL neither matters much.

It sees only train and validation examples, and its result competes like any other candidate.

Source: Opsahl-Ong et al. 2024, "Optimizing instructions and demonstrations for multi-stage language
model programs", arXiv:2406.11695.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from typing import Any

from tunesmith.contenders.prompting.few_shot import append_instruction, with_shots
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.successive_halving import Candidate, Measure
from tunesmith.errors import MissingExtraError
from tunesmith.records import (
    Completer,
    Completion,
    Example,
    Message,
    OptimizedPrompt,
    ProgressCallback,
    Prompt,
)

FIRST_INSTRUCTION = "Answer in the form in which such questions are answered."
MAX_TRAIN_EXAMPLES = 200
"""Number of train examples from which DSPy draws its shots."""


def search_by_dspy(
    base: Completer,
    train: Sequence[Example],
    validation: Sequence[Example],
    measure: Measure,
    *,
    trials: int,
    shots: int,
    seed: int,
    instruction: str = "",
) -> OptimizedPrompt:
    """The instruction and shots that MIPROv2 finds for `base` in `trials` trials, starting from
    `instruction`.

    Errors: `MissingExtraError` if DSPy or optuna is not installed; those that `measure` raises.
    """
    dspy = import_dspy()
    known = {
        example.question: example.prompt for example in (*train[:MAX_TRAIN_EXAMPLES], *validation)
    }
    # No cache and no retries in DSPy: both are the completer's responsibility.
    lm = dspy.LM(
        "tunesmith/model", engine=_DspyEngine(dspy, base, known), cache=False, num_retries=0
    )
    student = dspy.Predict(dspy.Signature("question -> answer", instruction or FIRST_INSTRUCTION))
    answers = {example.question: example for example in (*train[:MAX_TRAIN_EXAMPLES], *validation)}

    def metric(expected: Any, predicted: Any, trace: Any = None) -> float:
        return measure(_FixedCompleter(predicted.answer), [answers[expected.question]])[0] or 0.0

    # `auto=None` makes the number of trials ours; one thread, because the completer may hold a
    # model in memory; `max_errors` is above the number of requests, so that failed answers score 0
    # and never abort the search.
    optimizer = dspy.MIPROv2(
        metric=metric,
        prompt_model=lm,
        task_model=lm,
        auto=None,
        num_candidates=max(2, trials // 2),
        num_threads=1,
        max_bootstrapped_demos=min(4, shots),
        max_labeled_demos=shots,
        metric_threshold=1.0,
        seed=seed,
        max_errors=len(answers) * (trials + 2),
        init_temperature=1.0,
    )
    with _silence_output(), dspy.context(lm=lm, adapter=_make_plain_adapter(dspy)):
        program = optimizer.compile(
            student,
            trainset=_convert_examples(dspy, train[:MAX_TRAIN_EXAMPLES]),
            valset=_convert_examples(dspy, validation),
            num_trials=trials,
            minibatch=False,
            program_aware_proposer=False,
        )
    pairs = tuple((str(demo.question), str(demo.answer)) for demo in program.demos)
    return OptimizedPrompt(instruction=str(program.signature.instructions), shots=pairs)


def build_candidate(optimized: OptimizedPrompt) -> Candidate:
    """The optimized prompt as a candidate."""
    instruction, shots = (
        optimized.instruction,
        tuple(_build_shot(*pair) for pair in optimized.shots),
    )
    given = f"an instruction and {len(shots):,} examples from DSPy (MIPROv2)"
    return Candidate.from_builder(
        f"DSPy ({len(shots):,} shots)", given, PromptBuilder(instruction, shots)
    )


def _build_shot(question: str, answer: str) -> Example:
    return Example(line=0, messages=(Message("user", question), Message("assistant", answer)))


def _convert_examples(dspy: Any, examples: Sequence[Example]) -> list[Any]:
    return [
        dspy.Example(question=e.question, answer=e.answer).with_inputs("question") for e in examples
    ]


@dataclass(frozen=True, slots=True)
class _FixedCompleter:
    """A completer with a fixed answer, so that `measure` can score DSPy's answers too."""

    text: str

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        return [Completion(self.text, 0, 0, 0.0) for _ in prompts]


class _DspyEngine:
    """The engine that DSPy calls instead of a service: one request, answered by our completer."""

    def __init__(self, dspy: Any, completer: Completer, prompts: Mapping[str, Prompt]) -> None:
        self._lm15, self._completer, self._prompts = dspy.lm15, completer, prompts

    def complete(self, request: Any) -> Any:
        # DSPy passes only the question text; the table restores its system message and earlier
        # turns. Messages before the last one are shots.
        *earlier, asked = [
            (message.role, _join_parts(message.parts)) for message in request.messages
        ]
        system = (
            request.system if isinstance(request.system, str) else _join_parts(request.system or ())
        )
        prompt = self._prompts.get(asked[1], (Message("user", asked[1]),))
        turns = tuple(Message(role, text) for role, text in earlier)
        shots = [Example(line=0, messages=turns)] if turns else []
        completion = self._completer.complete(
            [with_shots(append_instruction(prompt, system) if system else prompt, shots)]
        )[0]
        return self._lm15.Response(
            id=None,
            model=request.model,
            finish_reason="stop",
            usage=self._lm15.Usage(),
            # A failed answer gets a text, so that DSPy scores it like any other answer.
            message=self._lm15.Message.assistant(completion.text or "(no answer)"),
        )


def _join_parts(parts: Sequence[Any]) -> str:
    return "".join(getattr(part, "text", "") for part in parts)


def _make_plain_adapter(dspy: Any) -> Any:
    """A DSPy adapter that sends our questions as the final candidate will. DSPy's own requests (for
    instructions) keep DSPy's format, but their replies are parsed leniently."""

    class Plain(dspy.ChatAdapter):  # type: ignore[misc]
        def format(self, signature: Any, demos: Any, inputs: Any) -> Any:
            if not _is_answer_signature(signature):
                return super().format(signature, demos, inputs)
            turns = [
                turn
                for demo in demos
                for turn in (("user", demo["question"]), ("assistant", demo["answer"]))
            ]
            parts = [("system", signature.instructions), *turns, ("user", inputs["question"])]
            return [{"role": role, "content": content} for role, content in parts]

        def parse(self, signature: Any, completion: str) -> Any:
            if not _is_answer_signature(signature):
                try:
                    return super().parse(signature, completion)
                except dspy.utils.exceptions.AdapterParseError:  # small models ignore the format
                    return dict.fromkeys(signature.output_fields, completion.strip())
            return {"answer": completion.strip()}

    return Plain()


def _is_answer_signature(signature: Any) -> bool:
    return set(signature.input_fields) == {"question"} and set(signature.output_fields) == {
        "answer"
    }


def import_dspy() -> Any:
    """The `dspy` package. Errors: `MissingExtraError`."""
    try:
        # DSPy imports optuna only inside MIPROv2: check first, not in the middle of a search.
        import_module("optuna")
        return import_module("dspy")
    except ImportError:
        raise MissingExtraError("dspy", "A prompt search by DSPy") from None


@contextmanager
def _silence_output() -> Iterator[None]:
    """Suppress the progress output of DSPy and optuna."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
