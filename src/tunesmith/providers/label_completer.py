"""Classification with a model on this machine: nothing is generated, each label is scored.

    plain        argmax_a  log p(a | prompt)
    calibrated   argmax_a  log p(a | prompt) - log p(a | the same prompt with "N/A" as question)

log p covers the whole answer: the sum over the label's tokens including the end of turn, so that a
label that is a prefix of another one has no advantage. Calibration subtracts the model's bias
toward a label that does not depend on the question (the label is short, it came last among the
shots). Whether that helps depends on model and labels, so it is chosen on the validation examples.

Source: Zhao et al. 2021, "Calibrate before use", arXiv:2102.09690 (content-free input); the same
correction as pointwise mutual information: Holtzman et al. 2021, "Surface form competition",
arXiv:2104.08315.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.errors import UsageError
from tunesmith.providers.local_completer import with_shared_tokens
from tunesmith.providers.prompt_encoding import (
    EncodedPrompt,
    encode_answers,
    encode_prompts,
    mark_too_long,
)
from tunesmith.records import ChatTokenizer, Completion, ProgressCallback, Prompt

if TYPE_CHECKING:
    from tunesmith.engine.generator import Generator

CONTENT_FREE = "N/A"


@dataclass(frozen=True)
class LabelCompleter:
    """A `Completer` whose answers are always one of `labels`; ties go to the first label.

    Errors: `UsageError` for labels that are duplicated, padded with spaces, or missing.
    """

    tokenizer: ChatTokenizer
    generator: "Generator"
    labels: tuple[str, ...]
    is_calibrated: bool = False

    def __post_init__(self) -> None:
        if (
            not self.labels
            or len(set(self.labels)) < len(self.labels)
            or any(x != x.strip() for x in self.labels)
        ):
            raise UsageError(
                "bad-labels",
                "labels must be distinct strings without leading or trailing spaces",
                got=f"{len(self.labels):,} labels",
            )

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt; `seconds` is an equal fraction of the wall time, `tokens_out`
        the label's token count without the end of turn."""
        began = time.perf_counter()
        opened = encode_prompts(self.tokenizer, prompts)
        labels = self._encode_labels(opened)
        # Room for the longest label: a comparison needs the scores of all of them.
        opened = mark_too_long(
            opened, max(map(len, labels), default=0), self.generator.context_length
        )
        answerable = [i for i, one in enumerate(opened) if one.error is None]

        def report(share: float) -> None:
            if progress is not None:
                progress(len(opened) - len(answerable) + int(share * len(answerable)), len(prompts))

        report(0.0)
        chosen = self._choose_labels(
            [prompts[i] for i in answerable], [opened[i].ids for i in answerable], labels, report
        )
        seconds = (time.perf_counter() - began) / max(len(answerable), 1)
        completions = [
            Completion("", len(one.ids), 0, 0.0, finished=False, error=one.error) for one in opened
        ]
        for i, a in zip(answerable, chosen, strict=True):
            # The end of turn is scored but not counted as output.
            completions[i] = Completion(
                self.labels[a], len(opened[i].ids), len(labels[a]) - 1, seconds
            )
        return with_shared_tokens(completions, [one.ids for one in opened], "picked")

    def _encode_labels(self, opened: Sequence[EncodedPrompt]) -> list[list[int]]:
        """Token ids of each label as they follow a prompt. One prompt suffices, because a chat
        template ends every prompt in the same way."""
        first = next((one for one in opened if one.error is None), None)
        return (
            encode_answers(self.tokenizer, [first] * len(self.labels), self.labels) if first else []
        )

    def _choose_labels(
        self,
        prompts: Sequence[Prompt],
        ids: list[list[int]],
        labels: list[list[int]],
        report: Callable[[float], None],
    ) -> list[int]:
        """The label index for each prompt. Identical content-free prompts are scored once."""
        if not self.is_calibrated:
            return self.generator.find_best_labels(
                ids, labels, lambda ready, wanted: report(ready / wanted)
            )
        blanks = [
            tuple(one.ids)
            for one in encode_prompts(
                self.tokenizer, [_blank_question(prompt) for prompt in prompts]
            )
        ]
        places = {blank: k for k, blank in enumerate(dict.fromkeys(blanks))}
        # Progress: the content-free prompts are this fraction of all prompts to be scored.
        share = len(places) / (len(places) + len(ids)) if ids else 0.0
        prior = self.generator.score_labels(
            [list(blank) for blank in places],
            labels,
            lambda ready, wanted: report(share * ready / wanted),
        )
        # Scores of the content-free prompts, one row per prompt.
        less = prior[[places[blank] for blank in blanks]]
        return self.generator.find_best_labels(
            ids,
            labels,
            lambda ready, wanted: report(share + (1 - share) * ready / wanted),
            less=less,
        )


def _blank_question(prompt: Prompt) -> Prompt:
    """The prompt with its question, the last user message, replaced by `CONTENT_FREE`."""
    last = max((i for i, message in enumerate(prompt) if message.role == "user"), default=-1)
    return tuple(
        replace(message, content=CONTENT_FREE) if i == last else message
        for i, message in enumerate(prompt)
    )
