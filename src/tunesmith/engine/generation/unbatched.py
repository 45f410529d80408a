"""Generation one prompt at a time, with transformers' own attention and cache: for models that
batching does not support."""

import time
from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from tunesmith.engine.generation.sampling import SequenceState, append_tokens
from tunesmith.engine.lm_head import compute_hidden_states


def generate_unbatched(
    model: PreTrainedModel,
    prompt: Sequence[int],
    sequence: SequenceState,
    max_new_tokens: int,
    stop_ids: set[int],
) -> Iterator[bool]:
    """Generate into the sequence token by token; yield after each whether it is finished."""
    cache = DynamicCache(config=model.config)
    fed = list(prompt)
    while not sequence.is_finished and len(sequence.tokens) < max_new_tokens:
        began = time.perf_counter()
        hidden_1TD = compute_hidden_states(
            model, torch.tensor([fed], device=model.device), cache=cache
        )
        append_tokens(model, hidden_1TD[:, -1], [sequence])
        sequence.seconds += time.perf_counter() - began
        fed = sequence.tokens[-1:]
        sequence.strip_stop_token(stop_ids)
        yield sequence.is_finished or len(sequence.tokens) == max_new_tokens
