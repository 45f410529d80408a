"""The likeliest of some labels, by a model on this machine: nothing is generated, labels are scored.

    plain        argmax_a  log p(a | prompt)
    calibrated   argmax_a  log p(a | prompt) - log p(a | the same prompt with "N/A" for its question)

log p is that of the whole answer: the sum over the label's tokens, end of turn included, so that a label which another
one begins with is not favoured. What a model says of a label whatever the question is (it is short, it stood last among
the shots) is taken off by calibration; whether that helps is a matter of model and labels, so it is chosen on the
validation examples.

Source: Zhao et al. 2021, "Calibrate before use", arXiv:2102.09690 (its content-free question); in the form of pointwise
mutual information: Holtzman et al. 2021, "Surface form competition", arXiv:2104.08315.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.errors import UsageError
from tunesmith.providers.local_completer import with_shared_tokens
from tunesmith.providers.prompt_encoding import EncodedPrompt, encode_answers, encode_prompts, mark_too_long
from tunesmith.records import ChatTokenizer, Completion, ProgressCallback, Prompt

if TYPE_CHECKING:
    from tunesmith.engine.generator import Generator

CONTENT_FREE = "N/A"


@dataclass(frozen=True)
class LabelCompleter:
    """A `Completer` whose every answer is one of `labels`; of equally likely ones the first. Errors: `UsageError`."""

    tokenizer: ChatTokenizer
    generator: "Generator"
    labels: tuple[str, ...]
    is_calibrated: bool = False

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) < len(self.labels) or any(x != x.strip() for x in self.labels):
            raise UsageError(
                "bad-labels",
                "The labels to choose from must be different texts without spaces at their ends.",
                found=f"{len(self.labels):,} labels",
            )

    def complete(self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None) -> list[Completion]:
        """One completion per prompt; its seconds are its share of the wall time, `tokens_out` those of the label."""
        began = time.perf_counter()
        opened = encode_prompts(self.tokenizer, prompts)
        labels = self._encode_labels(opened)
        opened = mark_too_long(opened, max(map(len, labels), default=0), self.generator.context_length)
        answerable = [i for i, one in enumerate(opened) if one.error is None]

        def report(share: float) -> None:
            if progress is not None:
                progress(len(opened) - len(answerable) + int(share * len(answerable)), len(prompts))

        report(0.0)
        chosen = self._choose_labels(
            [prompts[i] for i in answerable], [opened[i].ids for i in answerable], labels, report
        )
        seconds = (time.perf_counter() - began) / max(len(answerable), 1)
        completions = [Completion("", len(one.ids), 0, 0.0, finished=False, error=one.error) for one in opened]
        for i, a in zip(answerable, chosen, strict=True):
            completions[i] = Completion(self.labels[a], len(opened[i].ids), len(labels[a]) - 1, seconds)
        return with_shared_tokens(completions, [one.ids for one in opened], "picked")

    def _encode_labels(self, opened: Sequence[EncodedPrompt]) -> list[list[int]]:
        """The labels' tokens as they stand after a prompt; templates end every prompt alike."""
        first = next((one for one in opened if one.error is None), None)
        return encode_answers(self.tokenizer, [first] * len(self.labels), self.labels) if first else []

    def _choose_labels(
        self, prompts: Sequence[Prompt], ids: list[list[int]], labels: list[list[int]], report: Callable[[float], None]
    ) -> list[int]:
        """The number of the label for each prompt. Content-free prompts that are alike are scored once."""
        if not self.is_calibrated:
            return self.generator.find_best_labels(ids, labels, lambda ready, wanted: report(ready / wanted))
        blanks = [
            tuple(one.ids) for one in encode_prompts(self.tokenizer, [_blank_question(prompt) for prompt in prompts])
        ]
        places = {blank: k for k, blank in enumerate(dict.fromkeys(blanks))}
        share = len(places) / (len(places) + len(ids)) if ids else 0.0
        prior = self.generator.score_labels(
            [list(blank) for blank in places], labels, lambda ready, wanted: report(share * ready / wanted)
        )
        less = prior[[places[blank] for blank in blanks]]
        return self.generator.find_best_labels(
            ids, labels, lambda ready, wanted: report(share + (1 - share) * ready / wanted), less=less
        )


def _blank_question(prompt: Prompt) -> Prompt:
    """The prompt with nothing for its question, the last user turn."""
    last = max((i for i, message in enumerate(prompt) if message.role == "user"), default=-1)
    return tuple(replace(message, content=CONTENT_FREE) if i == last else message for i, message in enumerate(prompt))
