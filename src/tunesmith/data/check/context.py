"""The input of every check, and how checks report the examples that they find."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tunesmith.data.example_count import format_example_count
from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.normalization import detect_labels, hash_prompt
from tunesmith.data.read.dataset_reader import LoadedDataset
from tunesmith.data.read.row_errors import MAX_STORED_LINES
from tunesmith.records import ChatTokenizer, Example, Message, Method, Problem, Severity

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class CheckContext:
    """A data set with optional test set, tokenizer and token limit; derived data is cached.

    `is_contamination_error`: whether held-out questions in training are errors; False where the run
    has its own gate for them.
    """

    loaded: LoadedDataset
    test: LoadedDataset | None = None
    tokenizer: ChatTokenizer | None = None
    max_tokens: int | None = None
    model: str | None = None
    method: Method | None = None
    is_contamination_error: bool = False

    @property
    def examples(self) -> list[Example]:
        """The examples of the data set under check, in file order."""
        return self.loaded.examples

    @cached_property
    def unusual(self) -> list[int]:
        """Indices of the examples that are not just one question and one answer in plain words.

        Nearly all examples of most data are just that and cannot have most problems, so several
        checks visit only the others.
        """
        examples = enumerate(self.examples)
        return [i for i, example in examples if not is_question_and_answer(example)]

    @cached_property
    def ids_E(self) -> "np.ndarray":
        """The ids of the examples as 64-bit integers, shape (E,) uint64."""
        import numpy as np

        if self.loaded.ids is not None:
            return np.frombuffer(self.loaded.ids, np.uint64)
        # An imported task has no ids from the reader; an id is 16 hexadecimal digits.
        return np.array([int(example.id, 16) for example in self.examples], np.uint64)

    @cached_property
    def first_D(self) -> "np.ndarray":
        """Index of the first example with each id, ascending, shape (D,)."""
        import numpy as np

        _, first_D = np.unique(self.ids_E, return_index=True)
        return np.sort(first_D)

    @cached_property
    def prompt_hashes_E(self) -> "np.ndarray":
        """64-bit hash of each example's prompt, shape (E,) int64, valid in this process only.

        Eight bytes instead of a text each. The probability that two different prompts of a million
        examples collide is 1 in 30 million.
        """
        import numpy as np

        return np.fromiter(map(hash_prompt, self.examples), np.int64, len(self.examples))

    @cached_property
    def labels(self) -> list[str] | None:
        """Each example's label, or None when the answers are not labels (`label_detection.py`)."""
        return detect_labels(self.examples)

    def report_problems(
        self, code: str, severity: Severity, indices: Sequence[int], message: str, hint: str
    ) -> Iterator[Problem]:
        """One problem for each file that has examples in `found` (indices into `examples`).

        `message` continues "3 of 10 examples" with a verb in the plural.
        """
        for part in self.loaded.spans:
            # Line numbers restart in each file, so every file gets a problem of its own.
            lines = [self.examples[i].line for i in indices if part.begin <= i < part.end]
            if lines:
                yield Problem(
                    code=f"data/{code}",
                    severity=severity,
                    count=len(lines),
                    lines=tuple(lines[:MAX_STORED_LINES]),
                    message=format_example_count(len(lines), part.end - part.begin, message),
                    hint=hint,
                    file=part.file,
                    position_unit=part.position_unit,
                )


def is_question_and_answer(example: Example) -> bool:
    """Whether this is one user message and one answer, neither blank, with at most a group besides.

    Reasoning in the answer's text is part of it, as long as a final answer follows it.
    """
    messages = example.messages
    if len(messages) != 2 or example.rejected or example.tools or example.is_desirable is not None:
        return False
    question, answer = messages
    if (
        question.role != "user"
        or answer.role != "assistant"
        or not _is_words(question)
        or not _is_words(answer)
    ):
        return False
    final = extract_final_answer(answer.content)
    # Identity: `extract_final_answer` returns the same object when there is no reasoning.
    return final is answer.content or not is_blank(final)


def _is_words(message: Message) -> bool:
    """Whether a message is a content that is not blank, and nothing else."""
    return not (
        message.weight is not None
        or message.tool_calls
        or message.reasoning is not None
        or message.name is not None
        or message.tool_call_id is not None
        or is_blank(message.content)
    )


Check = Callable[[CheckContext], Iterable[Problem]]
