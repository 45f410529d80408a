"""Sentence embeddings: texts as vectors that are close together when the meanings are similar.

The encoder's last hidden states are averaged over the text's tokens (mean pooling) and normalized
to length 1, as the sentence-transformers models with `pooling_mode_mean_tokens` do it. The dot
product of two such vectors is their cosine similarity. Always float32: the model is small, and the
ranking of similar texts must not depend on rounding.

Texts are sorted by length and encoded in batches of at most `MAX_BATCH_TOKENS` padded tokens, so
little padding is computed.

Shapes: B texts of a batch, T tokens, D dimensions, N texts.

Source: Reimers and Gurevych 2019, "Sentence-BERT", arXiv:1908.10084, section 3.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel

from tunesmith.engine.memory import limit_kernel_cache
from tunesmith.engine.sanitized_folder import open_sanitized_folder, silence_transformers

MAX_BATCH_TOKENS = 4096


class SentenceEncoder:
    """An encoder and its tokenizer; longer texts are truncated to `max_length` tokens."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        limit_kernel_cache()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with open_sanitized_folder(folder) as view, silence_transformers():
            model = AutoModel.from_pretrained(
                str(view),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._model = model.requires_grad_(False).eval().to(self._device)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of the texts: ND, float32, each row of length 1."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows_ND = np.zeros((len(ids), self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for batch in _batch_by_length(ids):
                rows_ND[batch] = self._encode_batch([ids[i] for i in batch]).cpu().numpy()
        return rows_ND

    def _encode_batch(self, ids: Sequence[Sequence[int]]) -> Tensor:
        tokens_BT = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
        mask_BT = torch.zeros_like(tokens_BT)
        for b, row in enumerate(ids):
            tokens_BT[b, : len(row)] = torch.tensor(row)
            mask_BT[b, : len(row)] = 1
        given: dict[str, Any] = {
            "input_ids": tokens_BT.to(self._device),
            "attention_mask": mask_BT.to(self._device),
        }
        hidden_BTD = self._model(**given).last_hidden_state
        weights_BT1 = given["attention_mask"].unsqueeze(-1).to(hidden_BTD.dtype)
        return normalize(
            (hidden_BTD * weights_BT1).sum(1) / weights_BT1.sum(1).clamp(min=1e-9), dim=-1
        )


def _batch_by_length(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indices of texts of similar length, longest first: a lack of memory shows in the first
    batch.
    """
    batch: list[int] = []
    for i in sorted(range(len(ids)), key=lambda i: -len(ids[i])):
        if batch and (len(batch) + 1) * len(ids[batch[0]]) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
