"""Attention over a forest on a CPU: a few batched products for each node group.

The query heads of one key head are stacked into rows of one product. A group is computed by
`concatenated_prefix.py` if its prefix is short and by `split_prefix.py` if it is long.

Shapes: `gather_index.py`. Formula: Vaswani et al. 2017, arXiv:1706.03762; its backward pass: Dao et
al. 2022, arXiv:2205.14135; grouped heads: Ainslie et al. 2023, arXiv:2305.13245.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tunesmith.engine.attention import concatenated_prefix, split_prefix
from tunesmith.engine.attention.attention_plan import AttentionPlan
from tunesmith.engine.attention.gather_index import GroupSlices


def attend(
    q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: AttentionPlan, scale: float
) -> Tensor:
    """Attention of every token to its own and its prefix's tokens: (N, H, e), differentiable."""
    attended: Tensor = _Attend.apply(q_NHe, k_NGe, v_NGe, plan, scale)
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: AttentionPlan, scale: float
    ) -> Tensor:
        rows = plan.get_gather_index(q_NHe.shape[1], k_NGe.shape[1], q_NHe.dtype)
        q_Ie = rows.gather_queries(q_NHe).mul_(scale)
        k_Je, v_Je = rows.gather_keys(k_NGe), rows.gather_keys(v_NGe)
        out_Ie = torch.empty_like(q_Ie)
        kept: list[Tensor] = []
        ctx.ends = []
        for part in rows.parts:
            of_part = _choose_kernel(part).forward(part, q_Ie, k_Je, v_Je, out_Ie)
            kept += of_part if part.has_saved_weights else ()
            ctx.ends.append(len(kept))
        out_NHe = rows.scatter_queries(out_Ie)
        # The keys and values are saved as they came and gathered again in backward: gathered ones
        # repeat the prefixes.
        ctx.save_for_backward(q_Ie, k_NGe, v_NGe, out_NHe, *kept)
        ctx.rows, ctx.scale = rows, scale
        return out_NHe

    @staticmethod
    def backward(ctx: Any, d_NHe: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_Ie, k_NGe, v_NGe, out_NHe, *kept = ctx.saved_tensors
        rows = ctx.rows
        k_Je, v_Je = rows.gather_keys(k_NGe), rows.gather_keys(v_NGe)
        # Padded queries repeat a real token, whose gradient must not count twice.
        d_Ie = rows.gather_queries(d_NHe, blank_padding=True)
        # Only `split_prefix` needs the output: its backward uses rowsum(dO * O) in place of the
        # weights' own sums.
        out_Ie = (
            None
            if all(part.is_concatenated for part in rows.parts)
            else rows.gather_queries(out_NHe)
        )
        dq_Ie, dk_Je, dv_Je = torch.empty_like(q_Ie), torch.empty_like(k_Je), torch.empty_like(v_Je)
        begin = 0
        for part, end in zip(rows.parts, ctx.ends, strict=True):
            of_part, begin = tuple(kept[begin:end]), end
            _choose_kernel(part).backward(
                part, q_Ie, k_Je, v_Je, d_Ie, out_Ie, of_part, dq_Ie, dk_Je, dv_Je
            )
        return (
            rows.scatter_queries(dq_Ie.mul_(ctx.scale)),
            rows.scatter_add_keys(dk_Je),
            rows.scatter_add_keys(dv_Je),
            None,
            None,
        )


def _choose_kernel(part: GroupSlices) -> ModuleType:
    return concatenated_prefix if part.is_concatenated else split_prefix
