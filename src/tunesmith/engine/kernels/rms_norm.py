"""RMS normalization with a hand-written gradient: fewer passes and less memory than autograd.

    n = x / sqrt(mean(x^2) + eps),    y = w * n,    or y = (1 + w) * n in Gemma

    dx = (d - n mean(d n)) / sqrt(mean(x^2) + eps),    d = w * dy;    dw = sum over tokens of dy * n

It needs two thirds of the passes and a quarter of the memory of autograd's version. Saved for the
backward pass are x, which the residual stream holds anyway, and one number per token; y is marked
as recomputable from them (`recompute.py`). Half precision is computed in float32 and rounded where
transformers rounds; float64 stays float64, where transformers casts to float32. On CUDA PyTorch's
own kernels are used instead, except for Gemma: they round once where transformers rounds twice.

Shapes: N tokens, D hidden. Source: Zhang and Sennrich 2019, arXiv:1910.07467.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm

from tunesmith.engine.kernels.recompute import mark_recomputable


class RmsNorm(nn.Module):
    """Replaces transformers' RMSNorm with the same weight. `from_one`: Gemma's (1 + w)."""

    def __init__(self, weight: nn.Parameter, epsilon: float, *, from_one: bool) -> None:
        super().__init__()
        self.weight, self.epsilon, self.from_one = weight, epsilon, from_one

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        # PyTorch has one fused kernel each for forward and backward there.
        if x.is_cuda and not self.from_one:
            return mark_recomputable(
                _apply_native_kernel(x, self.weight, self.epsilon),
                partial(_apply_native_kernel, epsilon=self.epsilon),
                x,
                self.weight,
            )
        normed, scale = _RmsNorm.apply(x, self.weight, self.epsilon, self.from_one)
        return mark_recomputable(
            normed,
            _apply_weight if not self.from_one else _apply_weight_plus_one,
            x,
            self.weight,
            scale,
        )


def _apply_native_kernel(x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    return rms_norm(x, weight_D.shape, weight_D, epsilon)


def _apply_weight(x: Tensor, weight_D: Tensor, scale: Tensor) -> Tensor:
    return (x.to(scale.dtype) * scale).to(x.dtype) * weight_D


def _apply_weight_plus_one(x: Tensor, weight_D: Tensor, scale: Tensor) -> Tensor:
    return (x.to(scale.dtype) * scale).mul_(1.0 + weight_D.to(scale.dtype)).to(x.dtype)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_D: Tensor, epsilon: float, from_one: bool
    ) -> tuple[Tensor, Tensor]:
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = (
            torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(epsilon)
            .rsqrt_()
        )
        ctx.save_for_backward(x, weight_D, scale)
        ctx.mark_non_differentiable(scale)
        ctx.from_one = from_one
        return (_apply_weight_plus_one if from_one else _apply_weight)(x, weight_D, scale), scale

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: None) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight_D, scale = ctx.saved_tensors
        n = x.to(scale.dtype) * scale
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = (dy * n).flatten(end_dim=-2).sum(0).to(weight_D.dtype)
        d = dy * (1.0 + weight_D if ctx.from_one else weight_D).to(scale.dtype)
        mean = torch.linalg.vecdot(d, n)[..., None].div_(x.shape[-1])
        return d.sub_(n.mul_(mean)).mul_(scale).to(x.dtype), d_weight, None, None


def as_rms_norm(module: nn.Module) -> RmsNorm | None:
    """A replacement if it looks like an RMSNorm; `fusion.py` checks equivalence."""
    weight = getattr(module, "weight", None)
    # Llama and its relatives call it `variance_epsilon`, Gemma `eps`.
    epsilon = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
    if (
        not type(module).__name__.endswith("RMSNorm")
        or not isinstance(weight, nn.Parameter)
        or weight.dim() != 1
    ):
        return None
    if not isinstance(epsilon, float):
        return None
    return RmsNorm(weight, epsilon, from_one="Gemma" in type(module).__name__)
