"""Whether `decode_attention.py` can compute a model's attention: full or with a window, softmax of
scaled products.

Other models (recurrent layers, capped scores, attention sinks, positions that depend on the length
of the text) answer one prompt at a time with transformers' own attention and cache, slow and exact
(`generate_unbatched` below).
"""

import time
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tunesmith.engine.attention.decode_attention import KVCache, PassInput
from tunesmith.engine.attention.hf_backend import UNREGISTERED_ERRORS
from tunesmith.engine.generation.decoding_batch import PrefixModel
from tunesmith.engine.generation.sampling import SequenceState, append_tokens
from tunesmith.engine.generation.shared_prefixes import count_shareable_prefix
from tunesmith.engine.lm_head import compute_hidden_states

LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")
"""Kinds of rotary positions in transformers whose frequencies change with the length of the
text.
"""
# Each model is probed once.
_probe_results: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def get_prefix_model(model: PreTrainedModel, longest: int) -> PrefixModel | None:
    """The batched reader for texts of up to `longest` tokens; None when the model's attention is
    not supported.
    """
    windows = _list_windows(model)
    if windows is None or _has_changing_rope(model, longest):
        return None
    if model not in _probe_results:
        _probe_results[model] = _matches_on_probe(PrefixModel(model, windows))
    return PrefixModel(model, windows) if _probe_results[model] else None


def count_tokens_that_fit(model: PreTrainedModel, memory_bytes: int) -> int:
    """Number of tokens whose keys and values fit into this many bytes."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    return memory_bytes // int(
        2 * config.num_hidden_layers * heads * head_size * model.dtype.itemsize
    )


def _list_windows(model: PreTrainedModel) -> list[int | None] | None:
    """The window of each layer, None: full attention; None when a layer caches more than keys and
    values.
    """
    windows: list[int | None] = []
    for layer in DynamicCache(config=model.config).layers:
        if type(layer) is DynamicLayer:
            windows.append(None)
        elif type(layer) is DynamicSlidingWindowLayer:
            windows.append(layer.sliding_window)
        else:
            return None
    return None if getattr(model.config, "attention_chunk_size", None) else windows


def _has_changing_rope(model: PreTrainedModel, longest: int) -> bool:
    """Whether the rotary frequencies of texts this long differ from those of short ones."""
    # Models with two kinds of layers have one set of rotary parameters for each kind.
    parameters = getattr(model.config, "rope_parameters", None) or {}
    for rope in (parameters, *(part for part in parameters.values() if isinstance(part, dict))):
        if rope.get("rope_type") in LENGTH_DEPENDENT_ROPE:
            usual = (
                rope.get("original_max_position_embeddings") or model.config.max_position_embeddings
            )
            if longest > usual:
                return True
    return False


@torch.inference_mode()
def _matches_on_probe(prefix_model: PrefixModel) -> bool:
    """Whether a shared prefix, eight sequences and one more token of each give the model's own
    hidden states.

    The median over the sequences is compared: in bfloat16, thirty layers amplify rounding at a few
    outlier tokens.
    """
    model = prefix_model.model
    random = torch.Generator().manual_seed(0)
    texts = torch.randint(model.config.get_text_config().vocab_size, (8, 14), generator=random)
    texts[:, :6] = texts[0, :6]
    rows = texts.tolist()
    length = count_shareable_prefix(rows[0], rows[1])
    try:
        bank = KVCache(len(rows), prefix_model.prefill_prefix(rows[0][:length]))
        prefix_model.prefill(bank, [row[length:-1] for row in rows])
        mine_BD = prefix_model.run_pass(
            [PassInput.from_tokens(bank, [row[-1:] for row in rows], model.device)]
        ).float()
    except UNREGISTERED_ERRORS:  # the architecture does not call the registered functions
        return False
    own_BD = compute_hidden_states(model, texts.to(model.device))[:, -1].float()
    difference_B = (mine_BD - own_BD).norm(dim=-1) / own_BD.norm(dim=-1)
    return float(difference_B.median()) < (0.2 if model.dtype.itemsize == 2 else 1e-3)


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
