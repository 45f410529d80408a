"""Operations on a frozen linear layer that adapters need, for each way of storing its weight.

Shapes: I inputs, O outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunesmith.engine.adapters.four_bit import FourBitLinear

LinearLayer = nn.Linear | Conv1D | FourBitLinear
"""`nn.Linear`; GPT-2's `Conv1D`, which stores its weight transposed; 4-bit weights."""


def get_linear_sizes(layer: LinearLayer) -> tuple[int, int]:
    """(number of inputs, number of outputs)."""
    if isinstance(layer, FourBitLinear):
        return layer.in_features, layer.out_features
    rows, columns = layer.weight.shape
    return (rows, columns) if isinstance(layer, Conv1D) else (columns, rows)


def compute_dense_OI(layer: LinearLayer, dtype: torch.dtype) -> Tensor:
    """The frozen weight as a dense matrix OI in this dtype."""
    if isinstance(layer, FourBitLinear):
        return layer.compute_dense_OI(dtype)
    weight_OI = layer.weight.detach().T if isinstance(layer, Conv1D) else layer.weight.detach()
    return weight_OI.to(dtype)


def multiply(layer: LinearLayer, x: Tensor) -> Tensor:
    """x W^T without the bias: (..., I) -> (..., O)."""
    if isinstance(layer, FourBitLinear):
        return layer.multiply(x)
    return x @ layer.weight if isinstance(layer, Conv1D) else linear(x, layer.weight)


def multiply_with_bias(layer: LinearLayer, x: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b, rounded as the layer itself rounds it, and never a view: (..., I) -> (..., O)."""
    if bias is None:
        return multiply(layer, x)
    if isinstance(layer, FourBitLinear):
        return layer.multiply(x).add_(bias)
    # `linear` with a bias returns a view for more than two dimensions, to which the adapter's
    # update could not be added in place.
    weight_OI = compute_dense_OI(layer, x.dtype)
    y = x.new_empty(*x.shape[:-1], len(weight_OI))
    torch.addmm(bias, x.flatten(end_dim=-2), weight_OI.T, out=y.view(-1, len(weight_OI)))
    return y


def build_plain_layer(layer: LinearLayer, weight_OI: Tensor) -> nn.Linear | Conv1D:
    """A layer of the model's original kind, with this weight and the bias of the given layer."""
    inputs, outputs = get_linear_sizes(layer)
    plain: nn.Linear | Conv1D
    if isinstance(layer, Conv1D) or (isinstance(layer, FourBitLinear) and layer.was_transposed):
        plain, weight_OI = Conv1D(outputs, inputs), weight_OI.T
    else:
        # No memory: its weight is replaced right away.
        plain = nn.Linear(inputs, outputs, device="meta")
    plain.weight = nn.Parameter(weight_OI.contiguous(), requires_grad=False)
    plain.bias = layer.bias
    return plain


def get_device(layer: LinearLayer) -> torch.device:
    """The device that the layer computes on."""
    return layer.codes.device if isinstance(layer, FourBitLinear) else layer.weight.device


def find_linear_layers(model: PreTrainedModel) -> dict[str, LinearLayer]:
    """Full name -> linear layer, for all except the output head, in the order of the model."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LinearLayer) and module is not head
    }


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace the layer with this full name by another one."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, layer)


def count_stacked_weights(model: nn.Module) -> tuple[int, int]:
    """(parameters in stacked weights, all parameters), where a stacked weight is one tensor of all
    experts of a layer.

    transformers stores experts as tensors of three dimensions; they belong to no linear layer, so
    no adapter can be attached to them.
    """
    sizes = [(weight.dim(), weight.numel()) for weight in model.parameters()]
    return sum(size for dimensions, size in sizes if dimensions > 2), sum(size for _, size in sizes)
