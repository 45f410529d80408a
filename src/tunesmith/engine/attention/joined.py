"""Attention of a bundle whose way from the root is short: keys of way and own node behind each other, one softmax.

    W = softmax(Q K^T + mask),    O = W V
    dW = dO V^T,    dS = W * (dW - rowsum(dW * W)),    dQ = dS K,    dK = dS^T Q,    dV = W^T dO

Each node has its own copy of the way's keys, which costs less than a second set of products and passes over the scores.
Queries come scaled, and the gradient is that of the scaled ones. Shapes: `rows.py`.
"""

import torch
from torch import Tensor

from tunesmith.engine.attention.rows import Part


def forward(part: Part, q_Ie: Tensor, k_Je: Tensor, v_Je: Tensor, out_Ie: Tensor) -> tuple[Tensor, ...]:
    """Writes what the bundle's queries attend to into `out_Ie`; returns what the way back needs."""
    w_XYS = _weights(part, q_Ie, k_Je)
    torch.bmm(w_XYS, part.of_keys(v_Je), out=part.of_queries(out_Ie))
    return (w_XYS,)


def backward(
    part: Part, q_Ie: Tensor, k_Je: Tensor, v_Je: Tensor, d_Ie: Tensor, out_Ie: Tensor | None,
    kept: tuple[Tensor, ...], dq_Ie: Tensor, dk_Je: Tensor, dv_Je: Tensor,
) -> None:  # fmt: skip
    """Writes the gradients with respect to the bundle's queries, keys and values into the last three."""
    w_XYS = kept[0] if kept else _weights(part, q_Ie, k_Je)
    d_XYe = part.of_queries(d_Ie)
    torch.bmm(w_XYS.mT, d_XYe, out=part.of_keys(dv_Je))
    ds_XYS = torch._softmax_backward_data(d_XYe @ part.of_keys(v_Je).mT, w_XYS, -1, w_XYS.dtype)
    torch.bmm(ds_XYS, part.of_keys(k_Je), out=part.of_queries(dq_Ie))
    torch.bmm(ds_XYS.mT, part.of_queries(q_Ie), out=part.of_keys(dk_Je))


def _weights(part: Part, q_Ie: Tensor, k_Je: Tensor) -> Tensor:
    """W"""
    return torch.baddbmm(part.mask, part.of_queries(q_Ie), part.of_keys(k_Je).mT).softmax(-1)
