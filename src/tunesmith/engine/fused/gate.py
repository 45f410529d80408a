"""The gated feed-forward layer without its intermediate copies.

    h = act(g) * u,    dg = dh * u * act'(g),    du = dh * act(g)         act is SiLU or GELU (tanh form or exact)

Kept for the backward pass are g and u; autograd keeps act(g) too. h is noted to be made again from them (`again.py`).
Source: Shazeer 2020, arXiv:2002.05202.

Shapes: N tokens, F width of the layer.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from tunesmith.engine.fused.again import noted
from tunesmith.engine.fused.together import outputs_of


class GatedMlp(nn.Module):
    """Takes the place of a transformers MLP of three linear layers, which keep their names."""

    def __init__(self, gate_proj: nn.Module, up_proj: nn.Module, down_proj: nn.Module, activation: str) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj, self.activation = gate_proj, up_proj, down_proj, activation

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        g, u = outputs_of((self.gate_proj, self.up_proj), x)
        h = noted(_Gate.apply(g, u, self.activation), partial(_gated, self.activation), g, u)
        y: Tensor = self.down_proj(h)
        return y


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, u: Tensor, activation: str) -> Tensor:
        ctx.save_for_backward(g, u)
        ctx.activation = activation
        return _gated(activation, g, u)

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, None]:
        g, u = ctx.saved_tensors
        du = _activated(g, ctx.activation).mul_(dh)
        d_act = dh * u
        if ctx.activation == "silu":
            return torch.ops.aten.silu_backward(d_act, g), du, None
        approximate = "tanh" if ctx.activation == "gelu_tanh" else "none"
        return torch.ops.aten.gelu_backward(d_act, g, approximate=approximate), du, None


def _gated(activation: str, g: Tensor, u: Tensor) -> Tensor:
    return _activated(g, activation).mul_(u)


def _activated(g: Tensor, activation: str) -> Tensor:
    if activation == "silu":
        return silu(g)
    return gelu(g, approximate="tanh" if activation == "gelu_tanh" else "none")


LAYERS = ("gate_proj", "up_proj", "down_proj")
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def as_gated_mlp(module: nn.Module, hidden_act: str | None) -> GatedMlp | None:
    """The module's replacement if it has the three layers by their usual names; whether it is one `swap.py` proves."""
    children = dict(module.named_children())
    if hidden_act not in ACTIVATIONS or children.keys() - {"act_fn"} != set(LAYERS):
        return None
    gate_proj, up_proj, down_proj = (children[name] for name in LAYERS)
    return GatedMlp(gate_proj, up_proj, down_proj, ACTIVATIONS[hidden_act])
