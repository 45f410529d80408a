"""The attention layer of Llama and its kin with fewer passes over memory.

Its three input layers are asked together, and queries and keys are turned by their positions in three passes each way
instead of five and seven:

    y = x * cos + swap(x) * s,    dx = dy * cos + swap(dy * s)        s is sin with its first half negated

where swap exchanges the halves of a head. Everything else is transformers' own, function of attention and cache too.
Source: Su et al. 2021, arXiv:2104.09864.

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
"""Classes of transformers that are this and nothing else; Qwen 3 also normalises queries and keys."""
LAYER_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")
NORM_NAMES = ("q_norm", "k_norm")


class RotaryAttention(nn.Module):
    """Takes the place of a transformers attention module; its layers keep their names."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = dict(theirs.named_children())
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (layers[name] for name in LAYER_NAMES)
        self.norms = tuple(name for name in NORM_NAMES if name in layers)
        for name in self.norms:
            self.add_module(name, layers[name])
        # what functions of attention ask a module for, by transformers' names
        self.config, self.layer_idx, self.is_causal = theirs.config, theirs.layer_idx, theirs.is_causal
        self.head_dim, self.num_key_value_groups = theirs.head_dim, theirs.num_key_value_groups
        self.scaling, self.attention_dropout = theirs.scaling, theirs.attention_dropout
        # Mistral has it in its configuration, Llama nowhere; the masks know it in any case
        self.sliding_window = getattr(theirs, "sliding_window", getattr(theirs.config, "sliding_window", None))

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        **of_the_call: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """BTD -> BTD, and the weights if the function of attention gives them."""
        before = hidden_states.shape[:-1]
        qkv = apply_to_shared_input((self.q_proj, self.k_proj, self.v_proj), hidden_states)
        q_BThe, k_BThe, v_BThe = (x.view(*before, -1, self.head_dim) for x in qkv)
        if self.norms:
            q_BThe, k_BThe = (self.get_submodule(n)(x) for n, x in zip(self.norms, (q_BThe, k_BThe), strict=True))
        cos_BT1e, sin_BT1e = (x.unsqueeze(2) for x in position_embeddings)
        q_BThe, k_BThe = (_Rotate.apply(x, cos_BT1e, sin_BT1e) for x in (q_BThe, k_BThe))
        q, k, v = (x.transpose(1, 2) for x in (q_BThe, k_BThe, v_BThe))
        if past_key_values is not None:
            k, v = past_key_values.update(k, v, self.layer_idx)
        function: Callable[..., tuple[Tensor, Tensor | None]]  # never "eager", which `load.py` does not ask for
        function = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        out, weights = function(
            self, q, k, v, attention_mask, dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling, sliding_window=self.sliding_window, **of_the_call,
        )  # fmt: skip
        return self.o_proj(out.reshape(*before, -1)), weights


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)  # the same for all layers
        return x.roll(x.shape[-1] // 2, -1).mul_(_negate_first_half(sin)).addcmul_(x, cos)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return (dy * _negate_first_half(sin)).roll(dy.shape[-1] // 2, -1).addcmul_(dy, cos), None, None


def _negate_first_half(sin: Tensor) -> Tensor:
    return sin * _build_signs(sin.shape[-1], sin.dtype, sin.device)


@cache  # first made by a probe in inference mode, which is well where autograd does not look: inside of `_Rotate`
def _build_signs(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones(size, dtype=dtype, device=device).index_fill_(0, torch.arange(size // 2, device=device), -1)


def as_attention(module: nn.Module) -> RotaryAttention | None:
    """The module's replacement if it is of a family known here; whether it does the same `swap.py` proves."""
    children = dict(module.named_children()).keys()
    is_known = type(module).__name__ in SUPPORTED_CLASSES and type(module).__module__.startswith("transformers.models.")
    return RotaryAttention(module) if is_known and children - set(NORM_NAMES) == set(LAYER_NAMES) else None
