"""Attention over a forest on a CPU: forward and backward in a handful of batched products for each bundle of nodes.

Query heads of one key head are stacked into rows of one product. A bundle's products go one of two ways: `joined.py`
where the way from the root is short, `apart.py` where it is long.

Shapes: N tokens, H query heads, G key heads, e size of a head; X and Y as in `rows.py`.
Formula: Vaswani et al. 2017, arXiv:1706.03762; its backward pass: Dao et al. 2022, arXiv:2205.14135; grouped heads:
Ainslie et al. 2023, arXiv:2305.13245.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tunesmith.engine.attention import apart, joined
from tunesmith.engine.attention.bundles import Bundle, Plan
from tunesmith.engine.attention.rows import put, take


def attend(q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: Plan, scale: float) -> Tensor:
    """Every token's attention to the tokens that its sequences allow: (N, H, e)."""
    attended: Tensor = _Attend.apply(q_NHe, k_NGe, v_NGe, plan, scale)
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: Plan, scale: float) -> Tensor:
        q_NHe = q_NHe * scale
        out_NHe = torch.empty_like(q_NHe, memory_format=torch.contiguous_format)
        kept: list[Tensor] = []
        ctx.ends = []
        for bundle in plan:
            q_XYe = take(q_NHe, bundle, k_NGe.shape[1])
            out_XYe, of_bundle = _way(bundle).forward(q_XYe, k_NGe, v_NGe, bundle)
            put(out_XYe, bundle, out_NHe)
            kept += of_bundle
            ctx.ends.append(len(kept))
        ctx.save_for_backward(q_NHe, k_NGe, v_NGe, out_NHe, *kept)
        ctx.plan, ctx.scale = plan, scale
        return out_NHe

    @staticmethod
    def backward(ctx: Any, d_NHe: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_NHe, k_NGe, v_NGe, out_NHe, *kept = ctx.saved_tensors
        dq_NHe = torch.empty_like(q_NHe, memory_format=torch.contiguous_format)
        dk_NGe, dv_NGe = torch.zeros_like(k_NGe), torch.zeros_like(v_NGe)
        begin = 0
        for bundle, end in zip(ctx.plan, ctx.ends, strict=True):
            of_bundle, begin = kept[begin:end], end
            dq_XYe = _way(bundle).backward(
                q_NHe, k_NGe, v_NGe, d_NHe, out_NHe, of_bundle, bundle, dk_NGe, dv_NGe
            )  # fmt: skip
            put(dq_XYe, bundle, dq_NHe)
        return dq_NHe.mul_(ctx.scale), dk_NGe, dv_NGe, None, None


def _way(bundle: Bundle) -> ModuleType:
    return apart if bundle.seen_T is None else joined
