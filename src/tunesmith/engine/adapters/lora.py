"""LoRA: a frozen linear layer plus a trained product of two low-rank matrices.

    y = x W^T + s dropout(x) A^T B^T,    s = alpha / r,    or alpha / sqrt(r) if rank-stabilized

A starts as Kaiming-uniform noise and B as zero, so a new adapter changes nothing. A and B are
stored in float32 (float64 on a float64 model) and cast to the dtype of the computation at each use,
so that small updates are not lost in bfloat16.

Shapes: I inputs, O outputs, R rank; A is RI, B is OR. Source: Hu et al. 2021, arXiv:2106.09685,
section 4.1, and Kalajdzievski 2023, arXiv:2312.03732 (rsLoRA); initial values as in PEFT
(`peft/tuners/lora/layer.py`).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.engine.adapters.linear_layers import (
    LinearLayer,
    compute_dense_OI,
    get_device,
    get_linear_sizes,
    multiply_with_bias,
    replace_layer,
)
from tunesmith.engine.adapters.target_modules import find_target_layers
from tunesmith.engine.kernels.recompute import RecomputeInfo, get_recompute_info
from tunesmith.errors import ModelError
from tunesmith.records.recipe import ALL_LINEAR


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained low-rank update; `is_on` False turns the update off."""

    def __init__(
        self,
        frozen: LinearLayer,
        rank: int,
        alpha: float,
        dropout: float,
        *,
        rank_stabilized: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.frozen = frozen
        inputs, outputs = get_linear_sizes(frozen)
        device = get_device(frozen)
        self.lora_A = nn.Parameter(torch.empty(rank, inputs, device=device, dtype=dtype))
        self.lora_B = nn.Parameter(torch.zeros(outputs, rank, device=device, dtype=dtype))
        self.alpha, self.rank_stabilized = alpha, rank_stabilized
        self.scaling = alpha / (math.sqrt(rank) if rank_stabilized else rank)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.is_on = True
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        # New modules start in training mode, in which dropout would act on a model that was loaded
        # for evaluation.
        self.train(frozen.training)

    def compute_merged_OI(self) -> Tensor:
        """The single weight equivalent to frozen weight and update, OI, in the dtype of A."""
        with torch.no_grad():
            return compute_dense_OI(self.frozen, self.lora_A.dtype).addmm(
                self.lora_B, self.lora_A, alpha=self.scaling
            )

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        if not self.is_on:
            y: Tensor = self.frozen(x)
            return y
        return self.apply_update(x, self.dropout(x), self.frozen.bias)

    def apply_update(self, x: Tensor, dropped: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + s dropped A^T B^T + bias: (..., I) -> (..., O)."""
        return _apply_updates([self], x, None if dropped is x else dropped, [bias])[0]

    @staticmethod
    def forward_together(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
        """The outputs of layers that read the same input; see `kernels/shared_input.py`."""
        # Each layer drops other inputs, so only undropped ones can be read once for all. Subclasses
        # (DoRA) do more.
        plain = [
            layer for layer in layers if type(layer) is LoraLinear and layer.has_undropped_input
        ]
        if len(plain) < len(layers) or len({layer.scaling for layer in plain}) > 1:
            return tuple(layer(x) for layer in layers)
        return _apply_updates(plain, x, None, [layer.frozen.bias for layer in plain])

    @property
    def has_undropped_input(self) -> bool:
        """Whether x reaches A unchanged: the adapter is on and dropout does not act."""
        return self.is_on and (isinstance(self.dropout, nn.Identity) or not self.training)


def _apply_updates(
    layers: Sequence[LoraLinear], x: Tensor, dropped: Tensor | None, biases: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    note = get_recompute_info(x if dropped is None else dropped)
    weights = [layer.lora_A for layer in layers] + [layer.lora_B for layer in layers]
    ys: tuple[Tensor, ...] = _LoraUpdate.apply(x, dropped, layers, biases, note, *weights)
    return ys


class _LoraUpdate(torch.autograd.Function):
    """y = x W^T + s z A^T B^T + b for every layer that reads x; z is x, or x after dropout.

    Written by hand because autograd's version makes two more passes over every activation and saves
    more. The scaled A of all layers are stacked, so that each input is read once for all of them.
    Shapes: N all leading dimensions together, r rank of a layer, R sum of the ranks. d_ marks
    gradients; W, B, d and d_low are of one layer at a time:

        low = z (s A)^T,  d_low = d B,  d_A = s d_low^T z,  d_B = d^T low,  d_z = d_low (s A),  d_x = d W  (+ d_z)

    z is not saved if it can be recomputed (`kernels/recompute.py`).
    """  # noqa: E501

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        layers: Sequence[LoraLinear],
        biases: Sequence[Tensor | None],
        note: RecomputeInfo | None,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        As, Bs = weights[: len(layers)], [B_OR.to(x.dtype) for B_OR in weights[len(layers) :]]
        A_RI = torch.cat(As).mul_(layers[0].scaling).to(x.dtype)
        z = x if dropped is None else dropped
        low_NR = z.flatten(end_dim=-2) @ A_RI.T
        ys = []
        ctx.ranks = [len(A_rI) for A_rI in As]
        for layer, bias, B_Or, low_Nr in zip(
            layers, biases, Bs, low_NR.split(ctx.ranks, 1), strict=True
        ):
            ys.append(multiply_with_bias(layer.frozen, x, bias))
            # In place on a fresh tensor: the update needs no second activation of the output's
            # size.
            ys[-1].view(-1, len(B_Or)).addmm_(low_Nr, B_Or.T)
        ctx.save_for_backward(low_NR, A_RI, *Bs, *(note.sources if note else (z,)))
        ctx.maker, ctx.layers, ctx.dtype = note and note.recomputation, layers, As[0].dtype
        if note:
            # One more consumer of z: the last one to recompute it in backward frees it.
            note.recomputation.pending += 1
        return tuple(ys)

    @staticmethod
    def backward(ctx: Any, *ds: Tensor) -> tuple[Any, ...]:
        low_NR, A_RI, *others = ctx.saved_tensors
        Bs, kept, layers = others[: len(ds)], others[len(ds) :], ctx.layers
        z = ctx.maker.make(kept) if ctx.maker else kept[0]
        z_NI = z.flatten(end_dim=-2)
        ds_NO = [d.reshape(-1, d.shape[-1]) for d in ds]
        d_lows = [d_NO @ B_Or for d_NO, B_Or in zip(ds_NO, Bs, strict=True)]
        d_low_NR = torch.cat(d_lows, 1) if len(ds) > 1 else d_lows[0]
        lows = low_NR.split(ctx.ranks, 1)
        d_Bs = [(d_NO.T @ low_Nr).to(ctx.dtype) for d_NO, low_Nr in zip(ds_NO, lows, strict=True)]
        d_As = (d_low_NR.T @ z_NI).to(ctx.dtype).mul_(layers[0].scaling).split(ctx.ranks)
        d_x_NI = None
        if ctx.needs_input_grad[0]:
            for d_NO, layer in zip(ds_NO, layers, strict=True):
                weight_OI = compute_dense_OI(layer.frozen, d_NO.dtype)
                d_x_NI = d_NO @ weight_OI if d_x_NI is None else d_x_NI.addmm_(d_NO, weight_OI)
        d_dropped = None
        if ctx.needs_input_grad[1]:
            # With dropout, autograd continues from the gradient of the dropped input itself.
            d_dropped = (d_low_NR @ A_RI).view(z.shape)
        elif d_x_NI is not None:
            d_x_NI.addmm_(d_low_NR, A_RI)
        d_x = None if d_x_NI is None else d_x_NI.view(z.shape)
        return d_x, d_dropped, None, None, None, *d_As, *d_Bs


def attach_lora(
    model: PreTrainedModel,
    rank: int,
    alpha: float,
    dropout: float,
    *,
    rank_stabilized: bool = False,
    kind: type[LoraLinear] = LoraLinear,
    target_modules: Literal["all-linear"] | Sequence[str] = ALL_LINEAR,
) -> None:
    """Freeze the model and attach a new adapter to its target modules.

    `kind`: `LoraLinear` or a subclass. Errors: `ModelError` when there is no linear layer, a target
    names none, or an adapter is attached already.
    """
    check_no_adapter(model)
    layers = find_target_layers(model, target_modules)
    model.requires_grad_(False)
    options: dict[str, Any] = {
        "rank_stabilized": rank_stabilized,
        "dtype": get_adapter_dtype(model),
    }
    for name, frozen in layers.items():
        replace_layer(model, name, kind(frozen, rank, alpha, dropout, **options))


def get_adapter_dtype(model: PreTrainedModel) -> torch.dtype:
    """The dtype of adapter weights: float32, or float64 for a float64 model."""
    return torch.promote_types(model.dtype, torch.float32)


def check_no_adapter(model: nn.Module) -> None:
    """Errors: `ModelError` when an adapter is attached to the model."""
    if find_lora_layers(model):
        raise ModelError(
            "adapter-attached",
            "model already has an adapter",
            hint="load the model again",
        )


def find_lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """Full name -> LoRA layer, in the order of the model."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)
    }


def list_lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The trained parameters: A and B of every layer, and those that a subclass adds."""
    return [
        weight
        for layer in find_lora_layers(model).values()
        for weight in layer.parameters(recurse=False)
    ]


@contextmanager
def disable_adapter(model: nn.Module) -> Iterator[None]:
    """Within this block the adapter is off: the same weights serve as the base model."""
    layers = list(find_lora_layers(model).values())
    before = [layer.is_on for layer in layers]
    for layer in layers:
        layer.is_on = False
    try:
        yield
    finally:
        for layer, was_on in zip(layers, before, strict=True):
            layer.is_on = was_on
