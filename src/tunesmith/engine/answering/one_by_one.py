"""Answers one prompt at a time, with transformers' own attention and cache: for models whose layers keep more."""

import time
from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from tunesmith.engine.answering.choose import Row, append_tokens
from tunesmith.engine.head import hidden_states


def answer(
    model: PreTrainedModel, prompt: Sequence[int], row: Row, max_new_tokens: int, stop_ids: set[int]
) -> Iterator[bool]:
    """Fill the row token by token; says after each whether it is done."""
    cache = DynamicCache(config=model.config)
    fed = list(prompt)
    while not row.finished and len(row.tokens) < max_new_tokens:
        began = time.perf_counter()
        hidden_1TD = hidden_states(model, torch.tensor([fed], device=model.device), cache=cache)
        append_tokens(model, hidden_1TD[:, -1], [row])
        row.seconds += time.perf_counter() - began
        fed = row.tokens[-1:]
        row.stop(stop_ids)
        yield row.finished or len(row.tokens) == max_new_tokens
