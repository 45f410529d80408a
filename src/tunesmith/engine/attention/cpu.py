"""Attention over a forest on a CPU: forward and backward in a handful of batched products for each bundle of nodes.

    E = exp(s Q K^T + causal - m),    z = rowsum(E),    O = E V / z        m is the largest score of a row

K and V are those of the way from the root and of the own node: two products each, never joined and never repeated, that
share m and z. Query heads of one key head are stacked into rows of one product. E is kept, in the model's dtype.

    d = dO / z,    dS = E * (d V^T - rowsum(d * O)),    dQ = s dS K,    dK = s dS^T Q,    dV = E^T d

Shapes: N tokens, H query heads, G key heads, M = H / G query heads to a key head, e size of a head, h either H or G;
B, L and P as in `bundles.py`; X = G * B, Y = M * L, Z = B * M * L.
Formula: Vaswani et al. 2017, arXiv:1706.03762; its backward pass: Dao et al. 2022, arXiv:2205.14135; grouped heads:
Ainslie et al. 2023, arXiv:2305.13245.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tunesmith.engine.attention.bundles import Bundle, Plan


def attend(q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: Plan, scale: float) -> Tensor:
    """Every token's attention to the tokens that its sequences allow: (N, H, e)."""
    attended: Tensor = _Attend.apply(q_NHe, k_NGe, v_NGe, plan, scale)
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, plan: Plan, scale: float) -> Tensor:
        q_NHe = q_NHe * scale
        out_NHe = torch.empty_like(q_NHe, memory_format=torch.contiguous_format)
        kept = []
        for bundle in plan:
            q_XYe, k_XLe, v_XLe = (_take(x_Nhe, bundle, k_NGe.shape[1]) for x_Nhe in (q_NHe, k_NGe, v_NGe))
            own_XYL = torch.baddbmm(_causal_YL(q_XYe, k_XLe), q_XYe, k_XLe.mT)
            path_GZP = _over_path(q_XYe, k_NGe, bundle)
            sum_XY1 = _exponentiate(own_XYL, path_GZP)
            out_XYe = _add_path(own_XYL @ v_XLe, path_GZP, v_NGe, bundle)
            _put(out_XYe.div_(sum_XY1), bundle, out_NHe)
            kept += [own_XYL, path_GZP, sum_XY1]
        ctx.save_for_backward(q_NHe, k_NGe, v_NGe, out_NHe, *kept)
        ctx.plan, ctx.scale = plan, scale
        return out_NHe

    @staticmethod
    def backward(ctx: Any, d_NHe: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_NHe, k_NGe, v_NGe, out_NHe, *kept = ctx.saved_tensors
        dq_NHe = torch.empty_like(q_NHe, memory_format=torch.contiguous_format)
        dk_NGe, dv_NGe = torch.zeros_like(k_NGe), torch.zeros_like(v_NGe)
        dot_NH1 = torch.linalg.vecdot(d_NHe, out_NHe)[..., None]
        for number, bundle in enumerate(ctx.plan):
            own_XYL, path_GZP, sum_XY1 = kept[3 * number : 3 * number + 3]
            q_XYe, k_XLe, v_XLe = (_take(x_Nhe, bundle, k_NGe.shape[1]) for x_Nhe in (q_NHe, k_NGe, v_NGe))
            d_XYe, dot_XY1 = (
                (_take(x_NHe, bundle, k_NGe.shape[1], blank_padding=True) / sum_XY1).to(d_NHe.dtype)
                for x_NHe in (d_NHe, dot_NH1)
            )
            ds_XYL = (d_XYe @ v_XLe.mT).sub_(dot_XY1).mul_(own_XYL)
            ds_GZP = _over_path(d_XYe, v_NGe, bundle)
            if ds_GZP is not None:
                ds_GZP.sub_(dot_XY1.view(len(ds_GZP), -1, 1)).mul_(path_GZP)
            _put(_add_path(ds_XYL @ k_XLe, ds_GZP, k_NGe, bundle), bundle, dq_NHe)
            _scatter(ds_XYL, ds_GZP, q_XYe, bundle, dk_NGe)
            _scatter(own_XYL, path_GZP, d_XYe, bundle, dv_NGe)
        return dq_NHe.mul_(ctx.scale), dk_NGe, dv_NGe, None, None


def _over_path(q_XYe: Tensor, k_NGe: Tensor, bundle: Bundle) -> Tensor | None:
    """Products of all rows with the keys on the way from the root, GZP; None for a bundle of roots."""
    if not len(bundle.path_P):
        return None
    k_GPe = k_NGe.index_select(0, bundle.path_P).transpose(0, 1)
    return q_XYe.view(len(k_GPe), -1, q_XYe.shape[-1]) @ k_GPe.mT


def _exponentiate(own_XYL: Tensor, path_GZP: Tensor | None) -> Tensor:
    """Scores become E, in place; returns the sum of each row, XY1, in float32 or better."""
    exact = torch.promote_types(own_XYL.dtype, torch.float32)
    largest_XY1 = own_XYL.amax(-1, keepdim=True)
    if path_GZP is None:
        return own_XYL.sub_(largest_XY1).exp_().sum(-1, keepdim=True, dtype=exact)
    torch.maximum(largest_XY1, path_GZP.amax(-1, keepdim=True).view_as(largest_XY1), out=largest_XY1)
    sum_XY1 = own_XYL.sub_(largest_XY1).exp_().sum(-1, keepdim=True, dtype=exact)
    path_GZP.sub_(largest_XY1.view(len(path_GZP), -1, 1)).exp_()
    return sum_XY1.add_(path_GZP.sum(-1, keepdim=True, dtype=exact).view_as(sum_XY1))


def _add_path(x_XYe: Tensor, s_GZP: Tensor | None, v_NGe: Tensor, bundle: Bundle) -> Tensor:
    """Adds S V over the way from the root to what the own node gave, in place."""
    if s_GZP is not None:
        v_GPe = v_NGe.index_select(0, bundle.path_P).transpose(0, 1)
        x_XYe.view(len(s_GZP), -1, x_XYe.shape[-1]).baddbmm_(s_GZP, v_GPe)
    return x_XYe


def _scatter(s_XYL: Tensor, s_GZP: Tensor | None, x_XYe: Tensor, bundle: Bundle, out_NGe: Tensor) -> None:
    """Adds S^T X to the tokens of the own nodes and of the way from the root."""
    _put(s_XYL.mT @ x_XYe, bundle, out_NGe, add=True)
    if s_GZP is not None:
        of_path_GPe = s_GZP.mT @ x_XYe.view(len(s_GZP), -1, x_XYe.shape[-1])
        out_NGe.index_add_(0, bundle.path_P, of_path_GPe.transpose(0, 1))


def _take(x_Nhe: Tensor, bundle: Bundle, groups: int, *, blank_padding: bool = False) -> Tensor:
    """A bundle's rows with the heads of a group under each other: (G * B, M * L, e); M is 1 for keys and values."""
    if bundle.rows is None:
        rows_Rhe = x_Nhe[bundle.span]
    else:
        rows_Rhe = x_Nhe.index_select(0, bundle.rows.places_R)
        if blank_padding:
            rows_Rhe.index_fill_(0, bundle.rows.padding_Q, 0)
    rows_BLGMe = rows_Rhe.unflatten(1, (groups, -1)).unflatten(0, (bundle.nodes, bundle.length))
    return rows_BLGMe.permute(2, 0, 3, 1, 4).reshape(groups * bundle.nodes, -1, x_Nhe.shape[-1])


def _put(x_XYe: Tensor, bundle: Bundle, out_Nhe: Tensor, *, add: bool = False) -> None:
    """The way back from `_take`: a bundle's rows into their places, or added to what is there."""
    x_GBMLe = x_XYe.view(len(x_XYe) // bundle.nodes, bundle.nodes, -1, bundle.length, x_XYe.shape[-1])
    rows_RGMe = x_GBMLe.permute(1, 3, 0, 2, 4).flatten(0, 1)
    if bundle.rows is None:
        out_RGMe = out_Nhe[bundle.span].view(rows_RGMe.shape)
        if add:
            out_RGMe += rows_RGMe
        else:
            out_RGMe.copy_(rows_RGMe)
        return
    filled_Ohe = rows_RGMe.index_select(0, bundle.rows.filled_O).flatten(1, 2)
    if add:
        out_Nhe.index_add_(0, bundle.rows.places_O, filled_Ohe)
    else:
        out_Nhe.index_copy_(0, bundle.rows.places_O, filled_Ohe)


def _causal_YL(q_XYe: Tensor, k_XLe: Tensor) -> Tensor:
    """0 where a query may see a key of its own node, minus infinity where the key comes later."""
    length = k_XLe.shape[1]
    return _triangle(length, q_XYe.shape[1] // length, q_XYe.dtype, q_XYe.device)


@lru_cache(maxsize=256)  # up to 256 lengths (bundles.LONGEST_NODE), 3 MB in all with 64 heads
def _triangle(length: int, heads: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    later_LL = torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu_(1)
    return later_LL.repeat(heads, 1)
