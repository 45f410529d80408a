"""What every check is given, and how it names the examples it has found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.normalization import detect_labels, hash_prompt
from tunesmith.data.pluralize import format_example_count
from tunesmith.data.read.dataset_reader import LoadedDataset
from tunesmith.data.read.row_errors import MAX_STORED_LINES
from tunesmith.records import ChatTokenizer, Example, Message, Method, Problem, Severity

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class CheckContext:
    """A data set as read, perhaps with its test set, tokenizer and token limit. Costly views are made once.

    `is_contamination_error`: whether held-out questions in training are errors; False where the run's own gate follows.
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
        return self.loaded.examples

    @cached_property
    def unusual(self) -> list[int]:
        """Positions of the examples that are anything else than a question and an answer in words.

        Nearly all examples of most data are that, and have nothing of what several checks ask for:
        these look at the others alone.
        """
        examples = enumerate(self.examples)
        return [i for i, example in examples if not is_question_and_answer(example)]

    @cached_property
    def ids_E(self) -> "np.ndarray":
        """The ids of the examples as numbers, shape (E,) uint64."""
        import numpy as np

        if self.loaded.ids is not None:
            return np.frombuffer(self.loaded.ids, np.uint64)
        return np.array([int(example.id, 16) for example in self.examples], np.uint64)

    @cached_property
    def first_D(self) -> "np.ndarray":
        """Positions of the first example of each id, in order."""
        import numpy as np

        _, first_D = np.unique(self.ids_E, return_index=True)
        return np.sort(first_D)

    @cached_property
    def prompt_hashes_E(self) -> "np.ndarray":
        """64 bits of what each example asks, shape (E,) int64: equal questions, equal hashes. Good in this process.

        Eight bytes instead of a text each; among a million examples two different questions meet once in 30 million
        data sets.
        """
        import numpy as np

        return np.fromiter(map(hash_prompt, self.examples), np.int64, len(self.examples))

    @cached_property
    def labels(self) -> list[str] | None:
        return detect_labels(self.examples)

    def report_problems(
        self, code: str, severity: Severity, found: Sequence[int], message: str, do: str
    ) -> Iterator[Problem]:
        """One problem for each file that has examples in `found` (positions in `examples`).

        `message` goes on after "3 of 10 examples" with a verb.
        """
        for part in self.loaded.spans:
            lines = [self.examples[i].line for i in found if part.begin <= i < part.end]
            if lines:
                yield Problem(
                    code=f"data/{code}",
                    severity=severity,
                    count=len(lines),
                    lines=tuple(lines[:MAX_STORED_LINES]),
                    message=format_example_count(len(lines), part.end - part.begin, message),
                    do=do,
                    file=part.file,
                    counted_in=part.position_unit,
                )


def is_question_and_answer(example: Example) -> bool:
    """Whether it is one user message and one answer, neither blank, and nothing else but a group.

    Reasoning inside the answer's text is a part of it, as long as an answer stands behind it.
    """
    messages = example.messages
    if len(messages) != 2 or example.rejected or example.tools or example.is_desirable is not None:
        return False
    question, answer = messages
    if question.role != "user" or answer.role != "assistant" or not _is_words(question) or not _is_words(answer):
        return False
    final = extract_final_answer(answer.content)
    return final is answer.content or not is_blank(final)


def _is_words(message: Message) -> bool:
    """Whether it is a content that is not blank, and nothing else."""
    return not (
        message.weight is not None
        or message.tool_calls
        or message.reasoning is not None
        or message.name is not None
        or message.tool_call_id is not None
        or is_blank(message.content)
    )


Check = Callable[[CheckContext], Iterable[Problem]]
