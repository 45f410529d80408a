"""Attention of a bundle with a long way from the root: products with the way and with the own node, never joined.

    E = exp(s Q K^T + causal - m),    z = rowsum(E),    O = E V / z        m is the largest score of a row

The keys on the way are the same for all nodes and not repeated; both parts share m and z. E is kept, in the model's
dtype, or made again (`Bundle.is_kept`).

    d = dO / z,    dS = E * (d V^T - rowsum(d * O)),    dQ = dS K,    dK = dS^T Q,    dV = E^T d

Shapes: `rows.py`; Z = B * M * L.
"""

import torch
from torch import Tensor

from tunesmith.engine.attention.bundles import Bundle
from tunesmith.engine.attention.rows import add_to_path, causal_YL, put, take, take_path


def forward(q_XYe: Tensor, k_NGe: Tensor, v_NGe: Tensor, bundle: Bundle) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the queries (scaled) attend to, XYe, and what the way back needs."""
    own_XYL, path_GZP, sum_XY1 = weights = _weights(q_XYe, k_NGe, bundle)
    out_XYe = _add_path(own_XYL @ take(v_NGe, bundle, k_NGe.shape[1]), path_GZP, v_NGe, bundle)
    return out_XYe.div_(sum_XY1), weights if bundle.is_kept else ()


def backward(
    q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, d_NHe: Tensor, out_NHe: Tensor, kept: tuple[Tensor, ...],
    bundle: Bundle, dk_NGe: Tensor, dv_NGe: Tensor,
) -> Tensor:  # fmt: skip
    """Gradient with respect to the scaled queries, XYe; those of keys and values are added to `dk_NGe`, `dv_NGe`."""
    groups = k_NGe.shape[1]
    q_XYe, k_XLe, v_XLe = (take(x_Nhe, bundle, groups) for x_Nhe in (q_NHe, k_NGe, v_NGe))
    own_XYL, path_GZP, sum_XY1 = kept or _weights(q_XYe, k_NGe, bundle)
    d_XYe, out_XYe = (take(x_NHe, bundle, groups, blank_padding=True) for x_NHe in (d_NHe, out_NHe))
    d_XYe = (d_XYe / sum_XY1).to(d_NHe.dtype)
    dot_XY1 = torch.linalg.vecdot(d_XYe, out_XYe)[..., None]
    ds_XYL = (d_XYe @ v_XLe.mT).sub_(dot_XY1).mul_(own_XYL)
    ds_GZP = _over_path(d_XYe, v_NGe, bundle).sub_(dot_XY1.view(groups, -1, 1)).mul_(path_GZP)
    for s_XYL, s_GZP, x_XYe, out_NGe in ((ds_XYL, ds_GZP, q_XYe, dk_NGe), (own_XYL, path_GZP, d_XYe, dv_NGe)):
        put(s_XYL.mT @ x_XYe, bundle, out_NGe, add=True)
        add_to_path(s_GZP.mT @ x_XYe.view(groups, -1, x_XYe.shape[-1]), bundle, out_NGe)
    return _add_path(ds_XYL @ k_XLe, ds_GZP, k_NGe, bundle)


def _weights(q_XYe: Tensor, k_NGe: Tensor, bundle: Bundle) -> tuple[Tensor, Tensor, Tensor]:
    """E over the own node and over the way, and z."""
    k_XLe = take(k_NGe, bundle, k_NGe.shape[1])
    own_XYL = torch.baddbmm(causal_YL(q_XYe.shape[1], bundle.length, q_XYe), q_XYe, k_XLe.mT)
    path_GZP = _over_path(q_XYe, k_NGe, bundle)
    return own_XYL, path_GZP, _exponentiate(own_XYL, path_GZP)


def _over_path(q_XYe: Tensor, k_NGe: Tensor, bundle: Bundle) -> Tensor:
    """Products of all rows with the keys on the way from the root, GZP."""
    return q_XYe.view(k_NGe.shape[1], -1, q_XYe.shape[-1]) @ take_path(k_NGe, bundle).mT


def _exponentiate(own_XYL: Tensor, path_GZP: Tensor) -> Tensor:
    """Scores become E, in place; returns the sum of each row, XY1, in float32 or better."""
    exact = torch.promote_types(own_XYL.dtype, torch.float32)
    largest_XY1 = own_XYL.amax(-1, keepdim=True)
    torch.maximum(largest_XY1, path_GZP.amax(-1, keepdim=True).view_as(largest_XY1), out=largest_XY1)
    sum_XY1 = own_XYL.sub_(largest_XY1).exp_().sum(-1, keepdim=True, dtype=exact)
    path_GZP.sub_(largest_XY1.view(len(path_GZP), -1, 1)).exp_()
    return sum_XY1.add_(path_GZP.sum(-1, keepdim=True, dtype=exact).view_as(sum_XY1))


def _add_path(x_XYe: Tensor, s_GZP: Tensor, v_NGe: Tensor, bundle: Bundle) -> Tensor:
    """Adds S V over the way from the root to what the own node gave, in place."""
    x_XYe.view(len(s_GZP), -1, x_XYe.shape[-1]).baddbmm_(s_GZP, take_path(v_NGe, bundle))
    return x_XYe
