"""QLoRA: LoRA on weights held in 4 bits (`four_bit.py`), in about a quarter of the memory.

All linear layers except the output head are quantized, as in the paper and in transformers;
embeddings, norms and head are unchanged. Gradients flow through the 4-bit weights into the adapter.
Source: arXiv:2305.14314.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from tunesmith.engine.adapters.four_bit import FourBitLinear, load_quantizer
from tunesmith.engine.adapters.linear_layers import find_linear_layers, replace_layer
from tunesmith.errors import ModelError


def quantize_to_four_bits(model: PreTrainedModel, device: torch.device) -> None:
    """Quantize layer by layer, so that the device never holds the unquantized model.

    Errors: `MissingExtraError`; `ModelError` when the model has no linear layers.
    """
    load_quantizer()
    layers = find_linear_layers(model)
    if not layers:
        raise ModelError(
            "no-linear-layers",
            "model has no linear layer to quantize to 4 bits",
            hint="use another model",
        )
    for name, layer in layers.items():
        if not isinstance(layer, FourBitLinear):
            replace_layer(model, name, FourBitLinear(layer, device).train(layer.training))


def has_four_bit_layers(model: nn.Module) -> bool:
    """Whether the model has linear layers in 4 bits."""
    return any(isinstance(module, FourBitLinear) for module in model.modules())


def check_held_in_four_bits(model: nn.Module, *, is_expected: bool) -> None:
    """Errors: `ModelError` when the model's weights are not held as the adapter kind requires."""
    if has_four_bit_layers(model) != is_expected:
        raise ModelError(
            "four-bits",
            "weights are not held as adapter.load_in_4bit says",
            got=f"the model is held {'whole' if is_expected else 'in 4 bits'}",
            hint="load the model again for this recipe",
        )
