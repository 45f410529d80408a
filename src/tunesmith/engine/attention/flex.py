"""Attention over a forest on CUDA: FlexAttention with the rule `j <= i < end[j]` as its block mask.

Source: Dong et al. 2024, "Flex Attention", arXiv:2412.05496; PyTorch's `torch.nn.attention.flex_attention`.

Shapes: N tokens, in B blocks, H query heads, G key heads, M query heads of each of them, d size of a head.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, FlexKernelOptions, flex_attention

from tunesmith.engine.prefix_forest import Forest

BLOCK_TOKENS = 128  # tokens
MAX_KERNEL_VARIANTS = 64  # of the compiled kernel, at most
# The kernel for fewer than 128 queries does not compile for every number of heads. "ROWS_GUARANTEED_SAFE" is not for a
# forest: it means that a row sees something in the first block it looks at, a later tree's first rows do not (NaN).
KERNEL_OPTIONS: FlexKernelOptions = {"FORCE_USE_FLEX_ATTENTION": True}


class ForestBlockMask:
    """The forest's rule for FlexAttention: which blocks of queries and keys see each other, and which pairs in them."""

    def __init__(self, forest: Forest, device: torch.device) -> None:
        self._length = len(forest)
        self._end_N = torch.from_numpy(forest.end_N.astype(np.int32)).to(device)
        self._block_lists = [
            listed.to(device) for seen_BB in _find_blocks(forest.end_N) for listed in _list_blocks(seen_BB)
        ]
        self._masks: dict[int, BlockMask] = {}

    def get_block_mask(self, times: int) -> BlockMask:
        """For a batch that repeats the forest so many times; made once."""
        if times not in self._masks:
            end_N = self._end_N

            def may_attend(batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
                return (j <= i) & (i < end_N[j])

            counts, indices, all_counts, all_indices = (
                torch.stack([listed] * times).unsqueeze(1) for listed in self._block_lists
            )
            self._masks[times] = BlockMask.from_kv_blocks(
                counts,
                indices,
                all_counts,
                all_indices,
                BLOCK_TOKENS,
                may_attend,
                seq_lengths=(self._length, self._length),
            )
        return self._masks[times]


def _find_blocks(end_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of queries (rows) that see some pair of a block of keys (columns) but not all, and that see all.

    From the largest and the smallest `end` of each block: PyTorch's own way looks at all N x N pairs.
    """
    begins_B = np.arange(0, len(end_N), BLOCK_TOKENS)
    most_B, least_B = np.maximum.reduceat(end_N, begins_B), np.minimum.reduceat(end_N, begins_B)
    is_before_BB = begins_B[None, :] < begins_B[:, None]
    sees_some_BB = is_before_BB & (most_B[None, :] > begins_B[:, None])
    sees_all_BB = is_before_BB & (
        least_B[None, :] >= begins_B[:, None] + BLOCK_TOKENS
    )  # never a last block that is not full
    return sees_some_BB & ~sees_all_BB | np.eye(len(begins_B), dtype=bool), sees_all_BB


def _list_blocks(seen_BB: np.ndarray) -> tuple[Tensor, Tensor]:
    """For each block of queries how many blocks of keys (B), and which ones, those first (BB)."""
    indices_BB = np.argsort(~seen_BB, axis=-1, kind="stable").astype(np.int32)
    return torch.from_numpy(seen_BB.sum(-1, dtype=np.int32)), torch.from_numpy(indices_BB)


def attend(q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, rule: ForestBlockMask, scale: float) -> Tensor:
    """Every token's attention to the tokens that its sequences allow: (N, H, d).

    The M query heads of a key head stand beside each other as a batch over the same keys. What all branches share is a
    block of keys with all queries of a step; the gradient of such a block is one thread block's work, and this way it
    is that of one query head instead of M (docs/lab/2026-11-26-cuda.md). In bfloat16 each of the M gradients is rounded
    before they are added up.
    """
    (N, H, d), G = q_NHd.shape, k_NGd.shape[1]
    q_MGNd = q_NHd.reshape(N, G, H // G, d).permute(2, 1, 0, 3)
    k_1GNd, v_1GNd = (x_NGd.transpose(0, 1)[None] for x_NGd in (k_NGd, v_NGd))
    mask = rule.get_block_mask(H // G)
    out_MGNd = _get_kernel(q_NHd.device.type)(
        q_MGNd, k_1GNd, v_1GNd, block_mask=mask, scale=scale, kernel_options=KERNEL_OPTIONS
    )
    return out_MGNd.permute(2, 1, 0, 3).reshape(N, H, -1)


@cache
def _get_kernel(device_type: str) -> Callable[..., Tensor]:
    """Compiled on CUDA, where the eager form would hold all N x N scores; eager elsewhere, where only tests come by."""
    kernel: Any = flex_attention
    if device_type != "cuda":
        return kernel
    import torch._dynamo.config  # a second that a CPU need not wait

    # Past its limit of variants (with and without gradient, dtypes, sizes of heads) it would be eager without a word.
    torch._dynamo.config.recompile_limit = max(MAX_KERNEL_VARIANTS, torch._dynamo.config.recompile_limit)
    return torch.compile(kernel, dynamic=True, fullgraph=True)


def is_compiler_error(error: BaseException) -> bool:
    """Whether the kernel could not be compiled."""
    compiler = sys.modules.get("torch._dynamo.exc")
    return compiler is not None and isinstance(error, compiler.TorchDynamoException)
