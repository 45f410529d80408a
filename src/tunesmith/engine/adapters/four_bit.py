"""A frozen linear layer whose weight is held in 4 bits: NF4 with double quantization.

    w is about  code[k] * a,  code: 16 quantiles of a normal distribution, a: the largest |w| in a block of 64 weights

The values a are quantized to 8 bits in blocks of 256. In total this takes 4.127 bits per weight,
instead of 16 or 32. The weight is dequantized for each product and discarded; nothing is saved for
the backward pass. bitsandbytes quantizes and dequantizes, on CPU and CUDA alike. Source: Dettmers
et al. 2023, arXiv:2305.14314, section 3.

Shapes: I inputs, O outputs, N all leading dimensions together.
"""  # noqa: E501

import logging
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from tunesmith.errors import MissingExtraError

WEIGHTS_PER_BLOCK = 64


class FourBitLinear(nn.Module):
    """Replaces a frozen `nn.Linear` or `Conv1D`; the bias is unchanged."""

    def __init__(self, frozen: nn.Linear | Conv1D, device: torch.device) -> None:
        super().__init__()
        self.was_transposed = isinstance(frozen, Conv1D)
        weight_OI = frozen.weight.detach().T if self.was_transposed else frozen.weight.detach()
        self.out_features, self.in_features = weight_OI.shape
        codes, self.state = load_quantizer().quantize_4bit(
            weight_OI.to(device).contiguous(),
            blocksize=WEIGHTS_PER_BLOCK,
            quant_type="nf4",
            compress_statistics=True,
        )
        self.codes: Tensor
        # Not persistent: the codes are derived from the base's weights and belong in no saved
        # model.
        self.register_buffer("codes", codes, persistent=False)
        self.bias = frozen.bias

    def compute_dense_OI(self, dtype: torch.dtype) -> Tensor:
        """The dequantized weight, OI, in this dtype."""
        weight_OI: Tensor = load_quantizer().dequantize_4bit(self.codes, self.state)
        return weight_OI.to(dtype)

    def multiply(self, x: Tensor) -> Tensor:
        """x W^T without bias: (..., I) -> (..., O)."""
        y: Tensor = _QuantizedProduct.apply(x, self, None)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        y: Tensor = _QuantizedProduct.apply(x, self, self.bias)
        return y


class _QuantizedProduct(torch.autograd.Function):
    """y = x W^T + b,  dx = dy W; the weight is dequantized again for the second product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FourBitLinear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        # Bias added separately: with it, `linear` would return a view, to which nothing can be
        # added in place.
        y = linear(x, layer.compute_dense_OI(x.dtype))
        return y if bias is None else y.add_(bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, None, None]:
        return (
            (dy @ ctx.layer.compute_dense_OI(dy.dtype) if ctx.needs_input_grad[0] else None),
            None,
            None,
        )


def load_quantizer() -> ModuleType:
    """The module `bitsandbytes.functional`. Errors: `MissingExtraError`."""
    log = logging.getLogger("bitsandbytes")
    before = log.level
    # When imported, it recommends a package of kernels that is not used here.
    log.setLevel(logging.ERROR)
    try:
        import bitsandbytes.functional
    except ImportError:
        raise MissingExtraError("qlora", "4-bit quantization") from None
    finally:
        log.setLevel(before)
    return bitsandbytes.functional
