"""Sentence vectors from the embedding model that ships with tunesmith; it is fetched, verified and
loaded when the first text is embedded."""

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

    Errors, on the first text: `InputError` if the model cannot be fetched, `ModelError` if its
    files do not match their recorded hashes.
    """

    name: str = DEFAULT_MODEL
    _known: list[dict[str, Any]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    def embed(self, texts: Sequence[str]) -> Any:
        """One vector per text, in order; see `records.Embedder`."""
        if not self._known or not texts:
            return self._encoder.encode(texts)
        known = self._known[-1]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within this block each distinct text is encoded only once. For candidate selection, where
        many candidates answer the same questions; not for measured runs, in which every request
        must pay for its own search."""
        # A stack, so that nested blocks do not end the outer one's cache.
        self._known.append({})
        try:
            yield
        finally:
            self._known.pop()

    @cached_property
    def _encoder(self) -> "SentenceEncoder":
        from tunesmith.engine.sentence_encoder import SentenceEncoder

        return SentenceEncoder(
            resolve_embedding_model(self.name), get_embedding_models()[self.name].context_tokens
        )
