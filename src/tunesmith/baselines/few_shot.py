"""Few-shot prompting: examples from train stand before the question, as turns that were already answered.

Zero-shot needs nothing of its own: it is the bare completer.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from tunesmith.records import Completer, Completion, Example, Message, ProgressCallback, Prompt


class SystemPromptCompleter:
    """The same instruction as system message before every question that has none."""

    def __init__(self, completer: Completer, instruction: str) -> None:
        self._completer = completer
        self._instruction = Message("system", instruction)

    def complete(self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None) -> list[Completion]:
        """See `records.Completer`."""
        return self._completer.complete([self._add_system_message(prompt) for prompt in prompts], progress)

    def _add_system_message(self, prompt: Prompt) -> Prompt:
        return prompt if prompt[:1] and prompt[0].role == "system" else (self._instruction, *prompt)


def append_instruction(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with an instruction at the end of its system message, which is made where there is none.

    What the data's own system message says stays first: it may differ from question to question.
    """
    if prompt[:1] and prompt[0].role == "system":
        return (replace(prompt[0], content=f"{prompt[0].content}\n\n{instruction}"), *prompt[1:])
    return (Message("system", instruction), *prompt)


def count_characters(prompt: Prompt) -> int:
    """How long a prompt is, its tokens uncounted."""
    return sum(len(message.content) for message in prompt)


def with_shots(prompt: Prompt, shots: Sequence[Example]) -> Prompt:
    """The prompt with the shots' turns after its system message; the shots' own system messages are left out."""
    system = [message for message in prompt if message.role == "system"]
    rest = [message for message in prompt if message.role != "system"]
    turns = [message for shot in shots for message in shot.messages if message.role != "system"]
    return (*system, *turns, *rest)


def choose_shots(train: Sequence[Example], k: int, seed: int) -> tuple[Example, ...]:
    """k train examples that differ in their answers, none of the longest; the order of `train` does not matter.

    The examples fall into kinds (same label; same set of JSON keys). One of each kind is taken, the commonest kind
    first, then a second of each, and so on. The longest quarter is left out while there are enough others: a few very
    long shots would crowd out the question.
    """
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
    commonest_first = sorted(kinds.values(), key=lambda kind: (-len(kind), _compute_shuffle_key(kind[0], seed)))
    rounds = chain.from_iterable(zip_longest(*commonest_first))
    return tuple(example for example in rounds if example is not None)[:k]


def _compute_shuffle_key(example: Example, seed: int) -> str:
    """A seeded shuffle that does not depend on the order of the file."""
    return hashlib.sha256(f"{seed}:{example.id}".encode()).hexdigest()


def _count_example_characters(example: Example) -> int:
    return sum(len(message.content) for message in example.messages)


def _get_answer_kind(answer: str) -> str:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return " ".join(answer.casefold().split())
    return " ".join(sorted(value)) if isinstance(value, dict) else answer
