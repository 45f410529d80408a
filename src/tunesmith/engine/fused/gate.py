"""The gated feed-forward layer without its intermediate copies.

    h = act(g) * u,    dg = dh * u * act'(g),    du = dh * act(g)         act is SiLU or GELU (tanh form or exact)

Kept for the backward pass are g and u; autograd keeps act(g) too. h is noted to be made again from them (`again.py`).
Source: Shazeer 2020, arXiv:2002.05202.

Shapes: N tokens, F width of the layer.
"""

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
        activated = _Activated(self.activation)
        is_followed = g.requires_grad or u.requires_grad  # else nobody would take act(g) away again
        h = noted(_Gate.apply(g, u, activated), activated.gated_again if is_followed else activated.gated, g, u)
        y: Tensor = self.down_proj(h)
        return y


class _Activated:
    """act(g), and what the backward pass makes of it: h for `down_proj` first, then the gradients of g and u."""

    def __init__(self, activation: str) -> None:
        self.activation = activation
        self._made: Tensor | None = None

    def __call__(self, g: Tensor) -> Tensor:
        if self.activation == "silu":
            return silu(g)
        return gelu(g, approximate="tanh" if self.activation == "gelu_tanh" else "none")

    def gated(self, g: Tensor, u: Tensor) -> Tensor:
        """h"""
        return self(g).mul_(u)

    def gated_again(self, g: Tensor, u: Tensor) -> Tensor:
        """h; keeps act(g) for `taken`."""
        self._made = self(g)
        return self._made * u

    def taken(self, g: Tensor) -> Tensor:
        """act(g), the caller's to change."""
        made, self._made = self._made, None
        return self(g) if made is None else made

    def backward(self, d: Tensor, g: Tensor) -> Tensor:
        """d * act'(g)"""
        if self.activation == "silu":
            return torch.ops.aten.silu_backward(d, g)
        return torch.ops.aten.gelu_backward(d, g, approximate="tanh" if self.activation == "gelu_tanh" else "none")


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, u: Tensor, activated: _Activated) -> Tensor:
        ctx.save_for_backward(g, u)
        ctx.activated = activated
        return activated.gated(g, u)

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, None]:
        g, u = ctx.saved_tensors
        du = ctx.activated.taken(g).mul_(dh)
        return ctx.activated.backward(dh * u, g), du, None


LAYERS = ("gate_proj", "up_proj", "down_proj")
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def as_gated_mlp(module: nn.Module, hidden_act: str | None) -> GatedMlp | None:
    """The module's replacement if it has the three layers by their usual names; whether it is one `swap.py` proves."""
    children = dict(module.named_children())
    if hidden_act not in ACTIVATIONS or children.keys() - {"act_fn"} != set(LAYERS):
        return None
    gate_proj, up_proj, down_proj = (children[name] for name in LAYERS)
    return GatedMlp(gate_proj, up_proj, down_proj, ACTIVATIONS[hidden_act])
