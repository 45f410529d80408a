"""Attention over a forest on CUDA: FlexAttention with the rule `j <= i < end[j]` as its block mask.

Source: Dong et al. 2024, "Flex Attention", arXiv:2412.05496; PyTorch's `torch.nn.attention.flex_attention`.

Shapes: N tokens, H query heads, G key heads, d size of a head.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from tunesmith.engine.forest import Forest


def block_mask(forest: Forest, device: torch.device) -> BlockMask:
    """Which blocks of 128 x 128 tokens see each other at all, and the rule inside of them."""
    end_N = torch.from_numpy(forest.end_N).to(device)

    def may_attend(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & (i < end_N[j])

    return create_block_mask(may_attend, B=None, H=None, Q_LEN=len(forest), KV_LEN=len(forest), device=str(device))


def attend(q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, mask: BlockMask, scale: float) -> Tensor:
    """Every token's attention to the tokens that its sequences allow: (N, H, d)."""
    q, k, v = (x_Nhd.transpose(0, 1)[None] for x_Nhd in (q_NHd, k_NGd, v_NGd))
    out_1HNd = _kernel(q.device.type)(q, k, v, block_mask=mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    return out_1HNd[0].transpose(0, 1)


@cache
def _kernel(device_type: str) -> Callable[..., Tensor]:
    """Compiled on CUDA, where the eager form would hold all N x N scores; eager elsewhere, where only tests come by."""
    kernel: Any = flex_attention
    return torch.compile(kernel, dynamic=True) if device_type == "cuda" else kernel
