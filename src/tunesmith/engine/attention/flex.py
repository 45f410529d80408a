"""Attention over a forest on CUDA: FlexAttention with the rule `j <= i < end[j]` as its block mask.

Source: Dong et al. 2024, "Flex Attention", arXiv:2412.05496; PyTorch's
`torch.nn.attention.flex_attention`.

Shapes: N tokens, in B blocks, H query heads, G key heads, M query heads of each of them, d size of
a head.
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

BLOCK_TOKENS = 128
MAX_KERNEL_VARIANTS = 64
"""Variants of the compiled kernel that may exist at once."""
# The kernel for fewer than 128 queries does not compile for every number of heads, hence the forced
# option. "ROWS_GUARANTEED_SAFE" must stay off: it promises that a row sees something in its first
# block, which the first rows of a later tree do not (NaN).
KERNEL_OPTIONS: FlexKernelOptions = {"FORCE_USE_FLEX_ATTENTION": True}


class ForestBlockMask:
    """Which blocks of queries and keys interact in a forest, and which pairs within them."""

    def __init__(self, forest: Forest, device: torch.device) -> None:
        self._length = len(forest)
        self._end_N = torch.from_numpy(forest.end_N.astype(np.int32)).to(device)
        self._block_lists = [
            listed.to(device)
            for seen_BB in _find_blocks(forest.end_N)
            for listed in _list_blocks(seen_BB)
        ]
        self._masks: dict[int, BlockMask] = {}

    def get_block_mask(self, times: int) -> BlockMask:
        """The block mask for a batch that repeats the forest `times` times; built once."""
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
    """Blocks of queries (rows) that see a part of a block of keys (columns), and those that see all
    of it: two BB.

    Computed from the largest and the smallest `end` of each block; PyTorch's own function evaluates
    all N x N pairs.
    """
    begins_B = np.arange(0, len(end_N), BLOCK_TOKENS)
    most_B, least_B = np.maximum.reduceat(end_N, begins_B), np.minimum.reduceat(end_N, begins_B)
    is_before_BB = begins_B[None, :] < begins_B[:, None]
    sees_some_BB = is_before_BB & (most_B[None, :] > begins_B[:, None])
    # A last block that is not full never counts as fully visible: its `begin + BLOCK_TOKENS` is
    # past the forest's end.
    sees_all_BB = is_before_BB & (least_B[None, :] >= begins_B[:, None] + BLOCK_TOKENS)
    # Blocks on the diagonal are always partial, because they contain the causal boundary.
    return sees_some_BB & ~sees_all_BB | np.eye(len(begins_B), dtype=bool), sees_all_BB


def _list_blocks(seen_BB: np.ndarray) -> tuple[Tensor, Tensor]:
    """For each block of queries the number of its key blocks (B) and their numbers first (BB)."""
    indices_BB = np.argsort(~seen_BB, axis=-1, kind="stable").astype(np.int32)
    return torch.from_numpy(seen_BB.sum(-1, dtype=np.int32)), torch.from_numpy(indices_BB)


def attend(
    q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, rule: ForestBlockMask, scale: float
) -> Tensor:
    """Attention of every token to the tokens of its sequences that are not after it: (N, H, d).

    The M query heads of a key head form a batch over the same keys. A prefix that all branches
    share is a block of keys with all queries of a step; the gradient of such a block is computed by
    one thread block, and this layout gives it the work of one query head instead of M
    (docs/lab/2026-11-26-cuda.md). In bfloat16 each of the M gradients is rounded before they are
    summed.
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
    """The kernel: compiled on CUDA, where the eager form would hold all N x N scores; eager
    elsewhere, for tests only.
    """
    kernel: Any = flex_attention
    if device_type != "cuda":
        return kernel
    import torch._dynamo.config  # takes a second, which a CPU run does not have to pay

    # Past the limit of variants (with and without gradient, dtypes, head sizes) it would silently
    # run eagerly.
    torch._dynamo.config.recompile_limit = max(
        MAX_KERNEL_VARIANTS, torch._dynamo.config.recompile_limit
    )
    return torch.compile(kernel, dynamic=True, fullgraph=True)


def is_compiler_error(error: BaseException) -> bool:
    """Whether the error says that the kernel could not be compiled."""
    # Looked up instead of imported: if dynamo was never loaded, the error cannot be its own.
    compiler = sys.modules.get("torch._dynamo.exc")
    return compiler is not None and isinstance(error, compiler.TorchDynamoException)
