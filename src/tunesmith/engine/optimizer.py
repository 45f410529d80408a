"""From the optimizer's name in a recipe to torch's optimizer, and how much it stores.

AdamW: arXiv:1711.05101, two moments for each weight; the betas are usual for language models.
Adafactor: arXiv:1804.04235, without momentum: of a matrix it stores the means of the second moments
by row and by column, and its step is the learning rate times the size (root mean square) of the
weight.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from tunesmith.records.recipe import OptimizerName

BYTES_PER_VALUE = 4  # the trained weights are float32, and so is what an optimizer stores


def build_optimizer(
    name: OptimizerName,
    parameters: Sequence[nn.Parameter],
    device: torch.device,
    *,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """The optimizer as every training uses it; the trainer sets the learning rate at each step."""
    if name == "adafactor":
        # One weight at a time: together they would need a copy of all weights.
        return torch.optim.Adafactor(parameters, lr=0.0, weight_decay=weight_decay, foreach=False)
    return torch.optim.AdamW(
        parameters,
        lr=0.0,
        betas=(0.9, 0.95),
        fused=device.type == "cuda",
        weight_decay=weight_decay,
    )


def count_values_per_weight(name: OptimizerName, weights: Collection[Tensor]) -> float:
    """Numbers that the optimizer stores, divided by the numbers in these weights."""
    if name == "adamw":
        return 2.0
    stored = sum(
        weight.numel() // weight.shape[-1] + weight.numel() // weight.shape[-2]
        if weight.dim() > 1
        else weight.numel()
        for weight in weights
    )
    return stored / max(1, sum(weight.numel() for weight in weights))
