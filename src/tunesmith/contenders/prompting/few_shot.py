"""Few-shot prompting: train examples precede the question as user and assistant turns.

Zero-shot needs no code of its own: it is the unwrapped completer.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from tunesmith.records import (
    AnswerLogprob,
    Completer,
    Completion,
    Example,
    LogprobModel,
    Message,
    ProgressCallback,
    Prompt,
)


class SystemPromptCompleter:
    """A completer that adds a system message to each prompt that has none."""

    def __init__(self, completer: Completer, instruction: str) -> None:
        self._completer = completer
        self._instruction = instruction

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt; see `records.Completer`."""
        return self._completer.complete(
            [add_system_message(prompt, self._instruction) for prompt in prompts], progress
        )


class SystemPromptLogprobs:
    """The same for the likelihoods of given answers: they are those after the same prompts."""

    def __init__(self, model: LogprobModel, instruction: str) -> None:
        self._model = model
        self._instruction = instruction

    def compute_logprobs(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        progress: ProgressCallback | None = None,
    ) -> list[AnswerLogprob]:
        """See `records.LogprobModel`."""
        instructed = [add_system_message(prompt, self._instruction) for prompt in prompts]
        return self._model.compute_logprobs(instructed, answers, progress)


def add_system_message(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with the instruction as its system message, unless it has one."""
    if prompt[:1] and prompt[0].role == "system":
        return prompt
    return (Message("system", instruction), *prompt)


def append_instruction(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with an instruction at the end of its system message, which is added if missing.

    The data's own system text stays first: it may differ from question to question.
    """
    if prompt[:1] and prompt[0].role == "system":
        return (replace(prompt[0], content=f"{prompt[0].content}\n\n{instruction}"), *prompt[1:])
    return (Message("system", instruction), *prompt)


def add_instruction(example: Example, instruction: str) -> Example:
    """The example as a contender with this instruction sees it."""
    if not instruction:
        return example
    return replace(
        example, messages=(*append_instruction(example.prompt, instruction), example.messages[-1])
    )


def count_characters(prompt: Prompt) -> int:
    """Total length of the message contents in characters."""
    return sum(len(message.content) for message in prompt)


def with_shots(prompt: Prompt, shots: Sequence[Example]) -> Prompt:
    """The prompt with the shots' turns after its system message; the shots' own system messages are
    left out."""
    system = [message for message in prompt if message.role == "system"]
    rest = [message for message in prompt if message.role != "system"]
    turns = [message for shot in shots for message in shot.messages if message.role != "system"]
    return (*system, *turns, *rest)


def choose_shots(train: Sequence[Example], k: int, seed: int) -> tuple[Example, ...]:
    """`k` train examples with different kinds of answers, excluding the longest ones; independent
    of the order of `train`.

    Examples are grouped by kind (same label, or same set of JSON keys). One of each kind is taken,
    the most common kind first, then a second of each, and so on. The longest quarter is left out
    while enough others remain: a few very long shots would crowd out the question.
    """
    # A dict, so that of examples with the same question only one remains.
    usable = {
        example.question: example
        for example in sorted(train, key=lambda e: _compute_shuffle_key(e, seed))
        if example.prompt
    }
    lengths = sorted(_count_example_characters(example) for example in usable.values())
    longest = lengths[max(k, 3 * len(lengths) // 4) - 1] if len(lengths) > k else math.inf
    kinds: defaultdict[str, list[Example]] = defaultdict(list)
    for example in usable.values():
        if _count_example_characters(example) <= longest:
            kinds[_get_answer_kind(example.answer)].append(example)
    commonest_first = sorted(
        kinds.values(), key=lambda kind: (-len(kind), _compute_shuffle_key(kind[0], seed))
    )
    # Round robin over the kinds; `zip_longest` pads exhausted kinds with None.
    rounds = chain.from_iterable(zip_longest(*commonest_first))
    return tuple(example for example in rounds if example is not None)[:k]


def _compute_shuffle_key(example: Example, seed: int) -> str:
    """A hash by which to sort: a seeded shuffle that does not depend on the order of the file."""
    return hashlib.sha256(f"{seed}:{example.id}".encode()).hexdigest()


def _count_example_characters(example: Example) -> int:
    return sum(len(message.content) for message in example.messages)


def _get_answer_kind(answer: str) -> str:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return " ".join(answer.casefold().split())
    return " ".join(sorted(value)) if isinstance(value, dict) else answer
