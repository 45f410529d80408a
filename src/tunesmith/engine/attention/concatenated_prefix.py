"""Attention of a node group with a short prefix: one softmax over the keys of prefix and node.

    W = softmax(Q K^T + mask),    O = W V
    dW = dO V^T,    dS = W * (dW - rowsum(dW * W)),    dQ = dS K,    dK = dS^T Q,    dV = W^T dO

Each node has its own copy of the prefix's keys, which costs less than a second set of products and
passes over the scores. Queries come scaled, and dQ is with respect to the scaled ones. Shapes:
`gather_index.py`.
"""

import torch
from torch import Tensor

from tunesmith.engine.attention.gather_index import GroupSlices


def forward(
    part: GroupSlices, q_Ie: Tensor, k_Je: Tensor, v_Je: Tensor, out_Ie: Tensor
) -> tuple[Tensor, ...]:
    """Write the group's attention output to `out_Ie`; return the tensors that backward needs."""
    w_XYS = _compute_weights(part, q_Ie, k_Je)
    torch.bmm(w_XYS, part.view_keys(v_Je), out=part.view_queries(out_Ie))
    return (w_XYS,)


def backward(
    part: GroupSlices,
    q_Ie: Tensor,
    k_Je: Tensor,
    v_Je: Tensor,
    d_Ie: Tensor,
    out_Ie: Tensor | None,
    saved: tuple[Tensor, ...],
    dq_Ie: Tensor,
    dk_Je: Tensor,
    dv_Je: Tensor,
) -> None:
    """Write the group's gradients to `dq_Ie`, `dk_Je` and `dv_Je`."""
    w_XYS = saved[0] if saved else _compute_weights(part, q_Ie, k_Je)  # not saved for a long prefix
    d_XYe = part.view_queries(d_Ie)
    torch.bmm(w_XYS.mT, d_XYe, out=part.view_keys(dv_Je))
    # The private operator computes dS in one pass; the formula in Python needs several.
    ds_XYS = torch._softmax_backward_data(d_XYe @ part.view_keys(v_Je).mT, w_XYS, -1, w_XYS.dtype)
    torch.bmm(ds_XYS, part.view_keys(k_Je), out=part.view_queries(dq_Ie))
    torch.bmm(ds_XYS.mT, part.view_queries(q_Ie), out=part.view_keys(dk_Je))


def _compute_weights(part: GroupSlices, q_Ie: Tensor, k_Je: Tensor) -> Tensor:
    """The attention weights W, XYS."""
    return torch.baddbmm(part.mask, part.view_queries(q_Ie), part.view_keys(k_Je).mT).softmax(-1)
