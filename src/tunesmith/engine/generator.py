"""Text generation for many prompts at once; greedy float32 answers equal `transformers.generate`.

A prefix that prompts share (system prompt, few-shot examples) is computed once and never copied:
see `generation/shared_prefixes.py` for which prefixes, `generation/decoding_batch.py` for how
sequences enter and leave, `attention/decode_attention.py` for the attention,
`generation/sampling.py` for the choice of a token. Models with another kind of attention answer one
prompt at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.engine.generation.best_label_search import find_best_labels
from tunesmith.engine.generation.decoding_batch import DecodingBatch, PrefixModel
from tunesmith.engine.generation.label_scoring import score_labels
from tunesmith.engine.generation.model_support import (
    count_tokens_that_fit,
    generate_unbatched,
    get_prefix_model,
)
from tunesmith.engine.generation.sampling import Constraint, SequenceState
from tunesmith.engine.generation.sequence_logprobs import compute_log_probabilities
from tunesmith.engine.memory import compute_cache_budget_bytes
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import Sampling

ProgressCallback = Callable[[int, int], None]
GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """The new tokens without the stop token. `is_complete`: not cut at the limit.

    `seconds`: this answer's part of the wall time, that of each pass divided equally among its
    sequences. `log_probabilities`, if requested: of each token in nats, and of the stop token at
    the end if there was one.
    """

    tokens: list[int]
    is_complete: bool
    seconds: float
    log_probabilities: list[float] | None = None


class Generator:
    """Generates from token prompts with a loaded model as it is, with its adapter on or off.

    `batch_size`: the maximum number of sequences at once; fewer if the memory for keys and values
    does not suffice.
    """

    def __init__(self, loaded: LoadedModel, batch_size: int = 256) -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.context_length = loaded.context_length
        self.batch_size = batch_size

    def generate(
        self,
        prompts: Sequence[list[int]],
        max_new_tokens: int,
        stop_ids: set[int],
        progress: ProgressCallback | None = None,
        *,
        sampling: Sampling | Sequence[Sampling] = GREEDY,
        constraints: Sequence[Constraint | None] | None = None,
        with_log_probabilities: bool = False,
    ) -> list[GeneratedAnswer]:
        """One answer per prompt, in order, each of at most `max_new_tokens` tokens.

        `sampling` and `constraints` may differ between prompts. An answer depends on its own seed
        only, not on the batch. `progress`: called with (done, total). Errors: `UsageError` when a
        constraint allows no token.
        """
        rows = [
            SequenceState(
                p,
                sampling if isinstance(sampling, Sampling) else sampling[p],
                constraints[p] if constraints else None,
                [] if with_log_probabilities else None,
            )
            for p in range(len(prompts))
        ]
        done = 0
        for finished in self._iterate_passes(prompts, rows, max_new_tokens, stop_ids):
            done += len(finished)
            if progress:
                progress(done, len(prompts))
        return [
            GeneratedAnswer(row.tokens, row.is_finished, row.seconds, row.log_probabilities)
            for row in rows
        ]

    def stream(
        self,
        prompt: list[int],
        max_new_tokens: int,
        stop_ids: set[int],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        constraint: Constraint | None = None,
    ) -> Iterator[int]:
        """Yield one answer's tokens as they are generated, without the stop token; greedy at
        temperature 0.
        """
        row, told = SequenceState(0, Sampling(temperature, top_p, seed), constraint), 0
        for _ in self._iterate_passes([prompt], [row], max_new_tokens, stop_ids):
            yield from row.tokens[told:]
            told = len(row.tokens)

    def score_labels(
        self,
        prompts: Sequence[list[int]],
        labels: Sequence[Sequence[int]],
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Log-probability in nats of every label after every prompt: (prompts, labels), float32.

        It is the sum over the label's tokens. Divide by their number for a mean that does not favor
        short labels; end the labels with the stop token to score complete answers instead of
        prefixes of answers.
        """
        with self._use_inference_mode():
            reader, most_tokens = self._get_prefix_model(prompts, labels)
            return score_labels(
                self.model,
                reader,
                prompts,
                labels,
                most_tokens,
                _count_progress(progress, len(prompts)),
            )

    def find_best_labels(
        self,
        prompts: Sequence[list[int]],
        labels: Sequence[Sequence[int]],
        progress: ProgressCallback | None = None,
        *,
        less: Tensor | None = None,
    ) -> list[int]:
        """Index of the label with the highest score for each prompt, after subtracting `less`
        (prompts, labels).

        The same result as from `score_labels`, with less work (`best_label_search.py`); the first
        one of equal labels.
        """
        if not prompts:
            return []
        with self._use_inference_mode():
            reader, most_tokens = self._get_prefix_model(prompts, labels)
            tell = _count_progress(progress, len(prompts))
            if reader is not None:
                less_PA = None if less is None else less.double().numpy()
                return find_best_labels(reader, prompts, labels, most_tokens, less_PA, tell)
            scores_PA = score_labels(self.model, None, prompts, labels, most_tokens, tell)
            return [
                int(row_A.argmax())
                for row_A in (scores_PA if less is None else scores_PA - less).numpy()
            ]

    def compute_log_probabilities(
        self,
        texts: Sequence[Sequence[int]],
        begins: Sequence[int],
        progress: ProgressCallback | None = None,
    ) -> list[float]:
        """Log-probability in nats of each text from its token number `begin` on, given the tokens
        before.

        See `sequence_logprobs.py`. The first token of a text is never predicted. Errors:
        `TrainingError` when memory runs out.
        """
        with self._use_inference_mode():
            return compute_log_probabilities(self.loaded, texts, begins, progress)

    def _get_prefix_model(
        self, prompts: Sequence[list[int]], labels: Sequence[Sequence[int]]
    ) -> tuple[PrefixModel | None, int]:
        """The batched reader for prompts with a label (None: unsupported), and the cache limit
        (tokens).
        """
        longest = max(map(len, prompts), default=0) + max(map(len, labels), default=0)
        return get_prefix_model(self.model, longest), count_tokens_that_fit(
            self.model, compute_cache_budget_bytes(self.model.device)
        )

    def _iterate_passes(
        self,
        prompts: Sequence[list[int]],
        sequences: Sequence[SequenceState],
        max_new_tokens: int,
        stop_ids: set[int],
    ) -> Iterator[list[SequenceState]]:
        """Yield the finished sequences after each pass; while suspended, the model is unchanged."""
        steps = self._iterate_steps(prompts, sequences, max_new_tokens, stop_ids)
        while True:
            # Entered for each pass, because inference mode would otherwise stay on in the caller's
            # code.
            with self._use_inference_mode():
                done = next(steps, None)
            if done is None:
                return
            yield done

    def _iterate_steps(
        self,
        prompts: Sequence[list[int]],
        sequences: Sequence[SequenceState],
        max_new_tokens: int,
        stop_ids: set[int],
    ) -> Iterator[list[SequenceState]]:
        if not prompts:
            return
        reader = get_prefix_model(self.model, max(map(len, prompts)) + max_new_tokens)
        if reader is None:
            for prompt, row in zip(prompts, sequences, strict=True):
                for is_done in generate_unbatched(
                    self.model, prompt, row, max_new_tokens, stop_ids
                ):
                    yield [row] if is_done else []
            return
        most_tokens = count_tokens_that_fit(
            self.model, compute_cache_budget_bytes(self.model.device)
        )
        batch = DecodingBatch(
            reader, prompts, sequences, max_new_tokens, stop_ids, self.batch_size, most_tokens
        )
        yield from batch.iterate_steps()

    @contextmanager
    def _use_inference_mode(self) -> Iterator[None]:
        """No gradients and no dropout within this block."""
        was_training = self.model.training
        if was_training:
            self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            if was_training:
                self.model.train()


def _count_progress(progress: ProgressCallback | None, wanted: int) -> Callable[[int], None]:
    """A callback that adds up how many prompts are done, and reports (done, total)."""
    ready = 0

    def report(more: int) -> None:
        nonlocal ready
        ready += more
        if progress is not None and more:
            progress(ready, wanted)

    return report
