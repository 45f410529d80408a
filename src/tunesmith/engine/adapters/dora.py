"""DoRA: LoRA trains the direction of each row of the weight, one more parameter its magnitude.

    y = m * (x (W + s B A)^T) / ||W + s B A||,  norms and m by row (output);  m starts as the rows' norms in W

The norm is a constant in the backward pass (section 4.3 of the paper), so it is computed once for
each value of A and B instead of at every use. Dropout applies where PEFT has it: to the input of
everything that differs from the base.

Shapes: I inputs, O outputs, R rank. Source: Liu et al. 2024, arXiv:2402.09353; as in PEFT
(`peft/tuners/lora/dora.py`).
"""  # noqa: E501

from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.engine.adapters.linear_layers import compute_dense_OI, multiply
from tunesmith.engine.adapters.lora import LoraLinear


class DoraLinear(LoraLinear):
    """A frozen linear layer whose rows are rotated and rescaled by a trained update."""

    def __init__(self, *layer: Any, **options: Any) -> None:
        super().__init__(*layer, **options)
        lengths_O = torch.linalg.vector_norm(
            compute_dense_OI(self.frozen, self.lora_A.dtype), dim=1
        )
        self.lora_magnitude = nn.Parameter(lengths_O)
        self._norm_O, self._norm_versions = lengths_O.clone(), (-1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        if not self.is_on:
            y: Tensor = self.frozen(x)
            return y
        scale_O = (self.lora_magnitude / self.compute_norm_O()).to(x.dtype)
        dropped = self.dropout(x)
        y = self.apply_update(dropped, dropped, None) * scale_O
        # The base's own output must not be affected by dropout, so the dropped part of it is added
        # back.
        if dropped is not x:
            y = y + multiply(self.frozen, x) - multiply(self.frozen, dropped)
        return y if self.frozen.bias is None else y + self.frozen.bias

    def compute_norm_O(self) -> Tensor:
        """||W + s B A|| of every row for the current A and B, O."""
        # The version counters change with every in-place update by the optimizer.
        versions = self.lora_A._version, self.lora_B._version
        if versions != self._norm_versions:
            # A tensor made in inference mode could not be used in training later.
            with torch.inference_mode(False):
                self._norm_O = torch.linalg.vector_norm(super().compute_merged_OI(), dim=1)
            self._norm_versions = versions
        return self._norm_O

    def compute_merged_OI(self) -> Tensor:
        """The single weight equivalent to frozen weight, update and magnitude together, OI."""
        with torch.no_grad():
            return (
                super().compute_merged_OI() * (self.lora_magnitude / self.compute_norm_O())[:, None]
            )
