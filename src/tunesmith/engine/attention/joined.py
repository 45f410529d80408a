"""Attention of a bundle whose way from the root is short: keys of way and own node behind each other, one softmax.

    P = softmax(s Q K^T + causal),    O = P V
    dP = dO V^T,    dS = P * (dP - rowsum(dP * P)),    dQ = dS K,    dK = dS^T Q,    dV = P^T dO

Each node has its own copy of the way's keys, which costs less than a second set of products and passes over the scores.
Shapes: `rows.py`.
"""

import torch
from torch import Tensor

from tunesmith.engine.attention.bundles import Bundle
from tunesmith.engine.attention.rows import add_to_path, causal_YL, put, take, take_seen


def forward(q_XYe: Tensor, k_NGe: Tensor, v_NGe: Tensor, bundle: Bundle) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What the queries (scaled) attend to, XYe, and what the way back needs."""
    p_XYS = _weights(q_XYe, k_NGe, bundle)
    return p_XYS @ take_seen(v_NGe, bundle), (p_XYS,) if bundle.is_kept else ()


def backward(
    q_NHe: Tensor, k_NGe: Tensor, v_NGe: Tensor, d_NHe: Tensor, out_NHe: Tensor, kept: tuple[Tensor, ...],
    bundle: Bundle, dk_NGe: Tensor, dv_NGe: Tensor,
) -> Tensor:  # fmt: skip
    """Gradient with respect to the scaled queries, XYe; those of keys and values are added to `dk_NGe`, `dv_NGe`."""
    groups = k_NGe.shape[1]
    q_XYe, d_XYe = take(q_NHe, bundle, groups), take(d_NHe, bundle, groups, blank_padding=True)
    p_XYS = kept[0] if kept else _weights(q_XYe, k_NGe, bundle)
    dp_XYS = d_XYe @ take_seen(v_NGe, bundle).mT
    ds_XYS = torch._softmax_backward_data(dp_XYS, p_XYS, -1, p_XYS.dtype)
    for x_XSe, out_NGe in ((ds_XYS.mT @ q_XYe, dk_NGe), (p_XYS.mT @ d_XYe, dv_NGe)):
        path_XPe, own_XLe = x_XSe.tensor_split((len(bundle.path_P),), 1)
        add_to_path(path_XPe.unflatten(0, (groups, -1)).sum(1), bundle, out_NGe)
        put(own_XLe, bundle, out_NGe, add=True)
    return ds_XYS @ take_seen(k_NGe, bundle)


def _weights(q_XYe: Tensor, k_NGe: Tensor, bundle: Bundle) -> Tensor:
    """P"""
    s_XYS = q_XYe @ take_seen(k_NGe, bundle).mT
    s_XYS[..., -bundle.length :] += causal_YL(q_XYe.shape[1], bundle.length, s_XYS)
    return s_XYS.softmax(-1)
