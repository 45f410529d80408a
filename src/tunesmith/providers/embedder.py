"""Sentence vectors from the model that comes with tunesmith: fetched, verified and loaded at the first text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunesmith.models.embedded import embedding_models, resolve_embedding

if TYPE_CHECKING:  # importing it loads torch
    from tunesmith.engine.embed import SentenceEncoder

USUAL = "all-minilm-l6-v2"


@dataclass(frozen=True)
class LocalEmbedder:
    """An `Embedder` on this machine.

    Errors, at the first text: `InputError` when the model cannot be fetched, `ModelError` when its files have changed.
    """

    name: str = USUAL

    def embed(self, texts: Sequence[str]) -> Any:
        """See `records.Embedder`."""
        return self._encoder.encode(texts)

    @cached_property
    def _encoder(self) -> "SentenceEncoder":
        from tunesmith.engine.embed import SentenceEncoder

        return SentenceEncoder(resolve_embedding(self.name), embedding_models()[self.name].context_tokens)
