"""The attention module of the Llama family with fewer passes over memory.

Its three input projections are computed together, and queries and keys are rotated by their
positions in three passes (forward and backward) instead of five and seven:

    y = x * cos + swap(x) * s,  dx = dy * cos + swap(dy * s)  s is sin with its first half negated

where swap exchanges the halves of a head. Everything else is transformers' own code, including
attention function and cache. Source: Su et al. 2021, arXiv:2104.09864.

Shapes: B rows, T tokens, h heads, e size of a head, D hidden.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tunesmith.engine.kernels.shared_input import apply_to_shared_input

SUPPORTED_CLASSES = {"LlamaAttention", "MistralAttention", "Qwen2Attention", "Qwen3Attention"}
"""Classes of transformers that compute exactly this; Qwen 3 also normalizes queries and keys."""
LAYER_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")
NORM_NAMES = ("q_norm", "k_norm")


class RotaryAttention(nn.Module):
    """Replaces a transformers attention module; its layers keep their names."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = dict(theirs.named_children())
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (layers[name] for name in LAYER_NAMES)
        self.norms = tuple(name for name in NORM_NAMES if name in layers)
        for name in self.norms:
            self.add_module(name, layers[name])
        # Attributes that transformers' attention functions read from the module.
        self.config, self.layer_idx, self.is_causal = (
            theirs.config,
            theirs.layer_idx,
            theirs.is_causal,
        )
        self.head_dim, self.num_key_value_groups = theirs.head_dim, theirs.num_key_value_groups
        self.scaling, self.attention_dropout = theirs.scaling, theirs.attention_dropout
        # Mistral has the window in its configuration only, Llama has none; the masks respect it in
        # any case.
        self.sliding_window = getattr(
            theirs, "sliding_window", getattr(theirs.config, "sliding_window", None)
        )

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        **of_the_call: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """BTD -> (BTD, attention weights if the attention function returns them)."""
        before = hidden_states.shape[:-1]
        qkv = apply_to_shared_input((self.q_proj, self.k_proj, self.v_proj), hidden_states)
        q_BThe, k_BThe, v_BThe = (x.view(*before, -1, self.head_dim) for x in qkv)
        if self.norms:
            q_BThe, k_BThe = (
                self.get_submodule(n)(x) for n, x in zip(self.norms, (q_BThe, k_BThe), strict=True)
            )
        cos_BT1e, sin_BT1e = (x.unsqueeze(2) for x in position_embeddings)
        q_BThe, k_BThe = (_Rotate.apply(x, cos_BT1e, sin_BT1e) for x in (q_BThe, k_BThe))
        q, k, v = (x.transpose(1, 2) for x in (q_BThe, k_BThe, v_BThe))
        if past_key_values is not None:
            # Keys are cached after the rotation, as transformers caches them.
            k, v = past_key_values.update(k, v, self.layer_idx)
        # Never "eager", which this registry lacks: these classes support SDPA, so
        # `sanitized_folder.choose_attention` selects that.
        function: Callable[..., tuple[Tensor, Tensor | None]]
        function = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        out, weights = function(
            self,
            q,
            k,
            v,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            sliding_window=self.sliding_window,
            **of_the_call,
        )
        return self.o_proj(out.reshape(*before, -1)), weights


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)  # the same two tensors for all layers
        return x.roll(x.shape[-1] // 2, -1).mul_(_negate_first_half(sin)).addcmul_(x, cos)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return (
            (dy * _negate_first_half(sin)).roll(dy.shape[-1] // 2, -1).addcmul_(dy, cos),
            None,
            None,
        )


def _negate_first_half(sin: Tensor) -> Tensor:
    return sin * _build_signs(sin.shape[-1], sin.dtype, sin.device)


# First built by a probe in inference mode; such tensors are safe inside `_Rotate`, where autograd
# records nothing.
@cache
def _build_signs(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones(size, dtype=dtype, device=device).index_fill_(
        0, torch.arange(size // 2, device=device), -1
    )


def as_attention(module: nn.Module) -> RotaryAttention | None:
    """A replacement if the module is of a supported class; `fusion.py` checks equivalence."""
    children = dict(module.named_children()).keys()
    is_known = type(module).__name__ in SUPPORTED_CLASSES and type(module).__module__.startswith(
        "transformers.models."
    )
    return (
        RotaryAttention(module)
        if is_known and children - set(NORM_NAMES) == set(LAYER_NAMES)
        else None
    )
