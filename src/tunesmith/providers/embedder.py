"""Sentence vectors from the model that comes with tunesmith: fetched, verified and loaded at the first text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tunesmith.models.embedded import get_embedding_models, resolve_embedding_model

if TYPE_CHECKING:  # importing it loads torch
    from tunesmith.engine.sentence_encoder import SentenceEncoder

DEFAULT_MODEL = "all-minilm-l6-v2"


@dataclass(frozen=True)
class LocalEmbedder:
    """An `Embedder` on this machine.

    Errors, at the first text: `InputError` when the model cannot be fetched, `ModelError` when its files have changed.
    """

    name: str = DEFAULT_MODEL
    _known: list[dict[str, Any]] = field(default_factory=list, init=False, compare=False, repr=False)

    def embed(self, texts: Sequence[str]) -> Any:
        """See `records.Embedder`."""
        if not self._known or not texts:
            return self._encoder.encode(texts)
        known = self._known[-1]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within this block the same text is encoded once: for choices, where many candidates are asked the same
        questions. Not for what is measured, where every request pays for its own search."""
        self._known.append({})
        try:
            yield
        finally:
            self._known.pop()

    @cached_property
    def _encoder(self) -> "SentenceEncoder":
        from tunesmith.engine.sentence_encoder import SentenceEncoder

        return SentenceEncoder(resolve_embedding_model(self.name), get_embedding_models()[self.name].context_tokens)
