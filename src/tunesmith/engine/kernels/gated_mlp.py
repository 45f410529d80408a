"""The gated feed-forward layer without its intermediate copies.

    h = act(g) * u,  dg = dh * u * act'(g),  du = dh * act(g)  act is SiLU or GELU (tanh form or exact)

Only g and u are saved for the backward pass; autograd would save act(g) too. h is marked as
recomputable from them (`recompute.py`). Source: Shazeer 2020, arXiv:2002.05202.

Shapes: N tokens, D hidden, F width of the layer.
"""  # noqa: E501

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from tunesmith.engine.kernels.recompute import mark_recomputable
from tunesmith.engine.kernels.shared_input import apply_to_shared_input


class GatedMlp(nn.Module):
    """Replaces a transformers MLP of three linear layers, which keep their names."""

    def __init__(
        self, gate_proj: nn.Module, up_proj: nn.Module, down_proj: nn.Module, activation: str
    ) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj, self.activation = (
            gate_proj,
            up_proj,
            down_proj,
            activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        g, u = apply_to_shared_input((self.gate_proj, self.up_proj), x)
        activated = _Activation(self.activation)
        # `recompute_gated` keeps act(g) for the gate's backward, which runs only if g or u needs a
        # gradient.
        is_followed = g.requires_grad or u.requires_grad
        h = mark_recomputable(
            _Gate.apply(g, u, activated),
            activated.recompute_gated if is_followed else activated.compute_gated,
            g,
            u,
        )
        y: Tensor = self.down_proj(h)
        return y


class _Activation:
    """act(g); in backward, h is recomputed for `down_proj` first, then come the gradients."""

    def __init__(self, activation: str) -> None:
        self.activation = activation
        self._cached: Tensor | None = None

    def __call__(self, g: Tensor) -> Tensor:
        if self.activation == "silu":
            return silu(g)
        return gelu(g, approximate="tanh" if self.activation == "gelu_tanh" else "none")

    def compute_gated(self, g: Tensor, u: Tensor) -> Tensor:
        """h = act(g) * u."""
        return self(g).mul_(u)

    def recompute_gated(self, g: Tensor, u: Tensor) -> Tensor:
        """h = act(g) * u; keeps act(g) for `take_activation`."""
        self._cached = self(g)
        return self._cached * u

    def take_activation(self, g: Tensor) -> Tensor:
        """act(g), in a tensor that the caller may modify."""
        made, self._cached = self._cached, None
        return self(g) if made is None else made

    def backward(self, d: Tensor, g: Tensor) -> Tensor:
        """d * act'(g), the gradient of g."""
        if self.activation == "silu":
            return torch.ops.aten.silu_backward(d, g)
        return torch.ops.aten.gelu_backward(
            d, g, approximate="tanh" if self.activation == "gelu_tanh" else "none"
        )


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, u: Tensor, activated: _Activation) -> Tensor:
        ctx.save_for_backward(g, u)
        ctx.activated = activated
        return activated.compute_gated(g, u)

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, None]:
        g, u = ctx.saved_tensors
        # In place: the tensor is either the cached one, which was handed over, or new.
        du = ctx.activated.take_activation(g).mul_(dh)
        return ctx.activated.backward(dh * u, g), du, None


LAYER_NAMES = ("gate_proj", "up_proj", "down_proj")
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def as_gated_mlp(module: nn.Module, hidden_act: str | None) -> GatedMlp | None:
    """A replacement if the layer names match; `fusion.py` checks equivalence."""
    children = dict(module.named_children())
    if hidden_act not in ACTIVATIONS or children.keys() - {"act_fn"} != set(LAYER_NAMES):
        return None
    gate_proj, up_proj, down_proj = (children[name] for name in LAYER_NAMES)
    return GatedMlp(gate_proj, up_proj, down_proj, ACTIVATIONS[hidden_act])
