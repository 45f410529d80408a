"""Attention over forests as a transformers backend: one function for every model family.

The model is called with one more keyword argument, `forest`, which transformers passes on to the
attention function of every layer; nothing of transformers is patched. The mask function registered
with it builds no mask: the rule is in the attention plan.

Only a model with plain causal attention supports forests: no layer stores more than keys and values
or has a window shorter than the longest sequence, and a small forest must give the hidden states of
its sequences computed one by one. The others (recurrent layers, short windows, capped scores,
attention sinks) get padded rows and their own attention: see `batching.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from tunesmith.engine.attention import cpu, flex
from tunesmith.engine.attention.attention_plan import AttentionPlan, plan_attention
from tunesmith.engine.memory import is_out_of_memory
from tunesmith.engine.prefix_forest import Forest, build_forest

ATTENTION_NAME = "tunesmith_forest"
# What an architecture raises that does not call the registered functions, or calls them with other
# arguments.
UNREGISTERED_ERRORS = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    LookupError,
    AssertionError,
)
NOT_PLAIN_REASON = "its attention or its positions differ from those of a plain causal model"
PROBE_PREFIX_TOKENS, PROBE_BRANCH_TOKENS = {"cpu": 16, "cuda": 12 * flex.BLOCK_TOKENS}, 8
"""Tokens of the prefix that two of the probe's sequences share, and tokens that each has of its
own. On CUDA the prefix has so many blocks that none of the model's sizes is likely to equal their
number: a kernel compiled for equal sizes serves no others."""


@dataclass(frozen=True, slots=True)
class ForestAttention:
    """How a forest's tokens attend: a plan of products (CPU) or a FlexAttention mask (CUDA)."""

    layout: AttentionPlan | flex.ForestBlockMask

    @classmethod
    def from_forest(cls, forest: Forest, device: torch.device) -> "ForestAttention":
        """The layout that the device's kernel needs."""
        return cls(
            flex.ForestBlockMask(forest, device)
            if device.type == "cuda"
            else plan_attention(forest)
        )


def _attend_registered(
    module: nn.Module,
    q_1HNd: Tensor,
    k_1GNd: Tensor,
    v_1GNd: Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    forest: ForestAttention,
    **_: Any,
) -> tuple[Tensor, None]:
    q_NHd, k_NGd, v_NGd = (x_1hNd[0].transpose(0, 1) for x_1hNd in (q_1HNd, k_1GNd, v_1GNd))
    scale = q_NHd.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(forest.layout, AttentionPlan):
        return cpu.attend(q_NHd, k_NGd, v_NGd, forest.layout, scale)[None], None
    return flex.attend(q_NHd, k_NGd, v_NGd, forest.layout, scale)[None], None


def _make_no_mask(*_: Any, **__: Any) -> None:
    """No mask: the rule is in `ForestAttention`."""


AttentionInterface.register(ATTENTION_NAME, _attend_registered)
AttentionMaskInterface.register(ATTENTION_NAME, _make_no_mask)


@contextmanager
def use_forest_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within this block the model's layers attend by the `forest` argument of the call.

    The backward pass must be inside too: layers that are recomputed there look up the attention
    function again.
    """
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION_NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def compute_forest_hidden_states(model: PreTrainedModel, forest: Forest) -> Tensor:
    """Last hidden states of a forest's tokens, ND; call within `use_forest_attention`."""
    device = model.device
    return model.base_model(
        input_ids=torch.from_numpy(forest.tokens_N).to(device)[None],
        position_ids=torch.from_numpy(forest.positions_N).to(device)[None],
        use_cache=False,
        forest=ForestAttention.from_forest(forest, device),
    ).last_hidden_state[0]


def find_no_forest_reason(model: PreTrainedModel, longest: int) -> str | None:
    """Why sequences of up to `longest` tokens cannot form a forest; None when they can."""
    if not all(
        issubclass(type(layer), DynamicLayer) for layer in DynamicCache(config=model.config).layers
    ):
        return "it has layers that cache more than keys and values"
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(model.config, name, None)
        if isinstance(window, int) and window < longest:
            return (
                f"its attention window is {window:,} tokens and the longest example has {longest:,}"
            )
    if getattr(model.config, "attn_logit_softcapping", None) is not None:
        return "its attention soft-caps the scores"
    return _probe_forest(model)


# `no_grad`, as in validation: inference mode would compile kernels of its own on CUDA.
@torch.no_grad()
def _probe_forest(model: PreTrainedModel) -> str | None:
    """Compare the hidden states of three sequences as a forest and one by one; two of them share a
    prefix. The prefix, each branch and the other tree must agree.

    Medians are compared: in bfloat16, thirty layers amplify rounding at a few outlier tokens.
    """
    random = np.random.default_rng(0)
    longest = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    shared = min(PROBE_PREFIX_TOKENS[model.device.type], longest - PROBE_BRANCH_TOKENS)
    begin, one, two, other = (
        # Small models may have fewer positions than the probe would need.
        random.integers(0, model.config.vocab_size, n)
        for n in (shared, PROBE_BRANCH_TOKENS, PROBE_BRANCH_TOKENS, PROBE_BRANCH_TOKENS)
    )
    probes = [
        tokens.astype(np.int32) for tokens in (np.append(begin, one), np.append(begin, two), other)
    ]
    forest = build_forest(probes, min_saved=1)
    try:
        with use_forest_attention(model):
            mine_ND = compute_forest_hidden_states(model, forest).float()
    # An architecture that does not call the registered functions.
    except UNREGISTERED_ERRORS as error:
        if is_out_of_memory(error):
            raise
        if flex.is_compiler_error(error):
            return f"FlexAttention does not compile here ({' '.join(str(error).split())[:200]})"
        return NOT_PLAIN_REASON
    differences = []
    for probe, places in zip(probes, forest.token_indices, strict=True):
        tokens_1T = torch.from_numpy(probe.astype(np.int64)).to(model.device)[None]
        own_TD = model.base_model(input_ids=tokens_1T, use_cache=False).last_hidden_state[0].float()
        difference_T = (mine_ND[places] - own_TD).norm(dim=-1) / own_TD.norm(dim=-1)
        differences += [
            part.median() for part in (difference_T[:shared], difference_T[shared:]) if len(part)
        ]
    return (
        None
        if float(torch.stack(differences).max()) < (0.2 if model.dtype.itemsize == 2 else 1e-3)
        else NOT_PLAIN_REASON
    )
