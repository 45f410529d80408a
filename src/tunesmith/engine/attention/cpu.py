"""Attention over a forest on a CPU: forward and backward in a handful of batched products for each bundle of nodes.

    O = softmax(s Q [K_path K_own]^T + causal) [V_path V_own]

The keys on the way from the root are shared by all nodes of a bundle and are never repeated. Query heads that share a
key head are stacked into rows of one product. The probabilities are kept for the backward pass, in the model's dtype.

    dV = P^T dO,   dS = P * (dP - rowsum(dP * P)),   dP = dO V^T,   dQ = s dS K,   dK = s dS^T Q

Shapes: N tokens, H query heads, G key heads, M = H / G query heads to a key head, d size of a head, h either H or G;
B, L, P and R as in `bundles.py`; X = G * B, Y = M * L, Z = B * M * L, C = P + L columns.
Formula: Vaswani et al. 2017, arXiv:1706.03762; grouped heads: Ainslie et al. 2023, arXiv:2305.13245.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tunesmith.engine.attention.bundles import Bundle, Plan


def attend(q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, plan: Plan, scale: float) -> Tensor:
    """Every token's attention to the tokens that its sequences allow: (N, H, d)."""
    attended: Tensor = _Attend.apply(q_NHd, k_NGd, v_NGd, plan, scale)
    return attended


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, plan: Plan, scale: float) -> Tensor:
        q_NHd = q_NHd * scale
        out_NHd = torch.empty_like(q_NHd, memory_format=torch.contiguous_format)
        kept = []
        for bundle in plan:
            q_XYd, k_XLd, v_XLd = (_take(x_Nhd, bundle, k_NGd.shape[1]) for x_Nhd in (q_NHd, k_NGd, v_NGd))
            s_XYC = torch.baddbmm(_causal_YL(q_XYd, k_XLd), q_XYd, k_XLd.mT)
            p_XYC = _with_path(s_XYC, q_XYd, k_NGd, bundle).softmax(-1)
            kept.append(p_XYC)
            _put(_mix(p_XYC, v_XLd, v_NGd, bundle), bundle, out_NHd)
        ctx.save_for_backward(q_NHd, k_NGd, v_NGd, *kept)
        ctx.plan, ctx.scale = plan, scale
        return out_NHd

    @staticmethod
    def backward(ctx: Any, d_NHd: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_NHd, k_NGd, v_NGd, *kept = ctx.saved_tensors
        dq_NHd = torch.empty_like(q_NHd, memory_format=torch.contiguous_format)
        dk_NGd, dv_NGd = torch.zeros_like(k_NGd), torch.zeros_like(v_NGd)
        for bundle, p_XYC in zip(ctx.plan, kept, strict=True):
            q_XYd, k_XLd, v_XLd = (_take(x_Nhd, bundle, k_NGd.shape[1]) for x_Nhd in (q_NHd, k_NGd, v_NGd))
            d_XYd = _take(d_NHd, bundle, k_NGd.shape[1], blank_padding=True)
            dp_XYC = _with_path(d_XYd @ v_XLd.mT, d_XYd, v_NGd, bundle)
            ds_XYC = torch.ops.aten._softmax_backward_data(dp_XYC, p_XYC, -1, p_XYC.dtype)
            _put(_mix(ds_XYC, k_XLd, k_NGd, bundle), bundle, dq_NHd)
            for s_XYC, x_XYd, out_NGd in ((ds_XYC, q_XYd, dk_NGd), (p_XYC, d_XYd, dv_NGd)):
                path_GZP, own_XYL = _columns(s_XYC, bundle)
                _put(own_XYL.mT @ x_XYd, bundle, out_NGd, add=True)
                if len(bundle.path_P):
                    of_path_GPd = path_GZP.mT @ x_XYd.view(*path_GZP.shape[:2], -1)
                    out_NGd.index_add_(0, bundle.path_P, of_path_GPd.transpose(0, 1))
        return dq_NHd.mul_(ctx.scale), dk_NGd, dv_NGd, None, None


def _take(x_Nhd: Tensor, bundle: Bundle, groups: int, *, blank_padding: bool = False) -> Tensor:
    """A bundle's rows with the heads of a group under each other: (G * B, M * L, d); M is 1 for keys and values."""
    if bundle.span is not None:
        rows_Rhd = x_Nhd[bundle.span]
    else:
        rows_Rhd = x_Nhd.index_select(0, bundle.rows_R)
        if blank_padding:
            rows_Rhd.index_fill_(0, bundle.padding_Q, 0)
    rows_BLGMd = rows_Rhd.unflatten(1, (groups, -1)).unflatten(0, (bundle.nodes, bundle.length))
    return rows_BLGMd.permute(2, 0, 3, 1, 4).reshape(groups * bundle.nodes, -1, x_Nhd.shape[-1])


def _put(x_XYd: Tensor, bundle: Bundle, out_Nhd: Tensor, *, add: bool = False) -> None:
    """The way back from `_take`: a bundle's rows into their places, or added to what is there."""
    x_GBMLd = x_XYd.view(len(x_XYd) // bundle.nodes, bundle.nodes, -1, bundle.length, x_XYd.shape[-1])
    rows_RGMd = x_GBMLd.permute(1, 3, 0, 2, 4).flatten(0, 1)
    if bundle.span is not None:
        out_RGMd = out_Nhd[bundle.span].view(rows_RGMd.shape)
        if add:
            out_RGMd += rows_RGMd
        else:
            out_RGMd.copy_(rows_RGMd)
        return
    filled_Ohd = rows_RGMd.index_select(0, bundle.filled_O).flatten(1, 2)
    if add:
        out_Nhd.index_add_(0, bundle.places_O, filled_Ohd)
    else:
        out_Nhd.index_copy_(0, bundle.places_O, filled_Ohd)


def _with_path(own_XYL: Tensor, q_XYd: Tensor, k_NGd: Tensor, bundle: Bundle) -> Tensor:
    """Products with the keys of the way from the root put before those with the own keys: (X, Y, C)."""
    if not len(bundle.path_P):
        return own_XYL
    k_GPd = k_NGd.index_select(0, bundle.path_P).transpose(0, 1)
    path_GZP = q_XYd.view(len(k_GPd), -1, q_XYd.shape[-1]) @ k_GPd.mT
    return torch.cat([path_GZP.view(*q_XYd.shape[:2], -1), own_XYL], -1)


def _columns(s_XYC: Tensor, bundle: Bundle) -> tuple[Tensor, Tensor]:
    """Views of the columns of the way from the root (G, Z, P), and of the own ones (X, Y, L)."""
    s_GZC = s_XYC.view(len(s_XYC) // bundle.nodes, -1, s_XYC.shape[-1])
    return s_GZC[..., : len(bundle.path_P)], s_XYC[..., len(bundle.path_P) :]


def _mix(p_XYC: Tensor, v_XLd: Tensor, v_NGd: Tensor, bundle: Bundle) -> Tensor:
    """P V over the way from the root and the own node: (X, Y, d)."""
    path_GZP, own_XYL = _columns(p_XYC, bundle)
    out_XYd = own_XYL @ v_XLd
    if len(bundle.path_P):
        v_GPd = v_NGd.index_select(0, bundle.path_P).transpose(0, 1)
        out_XYd.view(*path_GZP.shape[:2], -1).baddbmm_(path_GZP, v_GPd)
    return out_XYd


def _causal_YL(q_XYd: Tensor, k_XLd: Tensor) -> Tensor:
    """0 where a query may see a key of its own node, minus infinity where the key comes later."""
    length = k_XLd.shape[1]
    return _triangle(length, q_XYd.shape[1] // length, q_XYd.dtype, q_XYd.device)


@lru_cache(maxsize=256)  # up to 256 lengths (bundles.LONGEST_NODE), 3 MB in all with 64 heads
def _triangle(length: int, heads: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    later_LL = torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu_(1)
    return later_LL.repeat(heads, 1)
