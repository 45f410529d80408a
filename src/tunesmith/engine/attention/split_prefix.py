"""Attention of a node group with a long prefix: separate products for prefix and own node.

    E = exp(Q K^T + mask - m),  z = rowsum(E),  O = E V / z  m is the largest score of a row

The prefix's keys are the same for all nodes and not copied; both parts share m and z. E is saved,
in the model's dtype, or recomputed (`NodeGroup.has_saved_weights`).

    d = dO / z,    dS = E * (d V^T - rowsum(d * O)),    dQ = dS K,    dK = dS^T Q,    dV = E^T d

Queries come scaled, and dQ is with respect to the scaled ones. Shapes: `gather_index.py`; Z = B * M
* L.
"""

import torch
from torch import Tensor

from tunesmith.engine.attention.gather_index import GroupSlices


def forward(
    part: GroupSlices, q_Ie: Tensor, k_Je: Tensor, v_Je: Tensor, out_Ie: Tensor
) -> tuple[Tensor, ...]:
    """Write the group's attention output to `out_Ie`; return the tensors that backward needs."""
    own_XYL, path_GZP, sum_XY1 = weights = _compute_weights(part, q_Ie, k_Je)
    out_XYe = part.view_queries(out_Ie)
    torch.bmm(own_XYL, part.view_keys(v_Je), out=out_XYe)
    _view_by_group(part, out_XYe).baddbmm_(path_GZP, part.view_prefix(v_Je))
    # Normalizing the output is cheaper than normalizing E: it has e columns instead of P + L.
    out_XYe.div_(sum_XY1)
    return weights


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
    assert out_Ie is not None
    own_XYL, path_GZP, sum_XY1 = saved or _compute_weights(part, q_Ie, k_Je)
    q_XYe, d_XYe = part.view_queries(q_Ie), part.view_queries(d_Ie)
    # Dividing dO by z once replaces the normalization of E, which was never done.
    d_XYe = (d_XYe / sum_XY1).to(d_Ie.dtype)
    dot_XY1 = torch.linalg.vecdot(d_XYe, part.view_queries(out_Ie))[..., None]
    ds_XYL = (d_XYe @ part.view_keys(v_Je).mT).sub_(dot_XY1).mul_(own_XYL)
    ds_GZP = _view_by_group(part, d_XYe) @ part.view_prefix(v_Je).mT
    ds_GZP.sub_(_view_by_group(part, dot_XY1)).mul_(path_GZP)
    for s_XYL, s_GZP, x_XYe, out_Je in (
        (ds_XYL, ds_GZP, q_XYe, dk_Je),
        (own_XYL, path_GZP, d_XYe, dv_Je),
    ):
        torch.bmm(s_XYL.mT, x_XYe, out=part.view_keys(out_Je))
        torch.bmm(s_GZP.mT, _view_by_group(part, x_XYe), out=part.view_prefix(out_Je))
    dq_XYe = part.view_queries(dq_Ie)
    torch.bmm(ds_XYL, part.view_keys(k_Je), out=dq_XYe)
    _view_by_group(part, dq_XYe).baddbmm_(ds_GZP, part.view_prefix(k_Je))


def _compute_weights(
    part: GroupSlices, q_Ie: Tensor, k_Je: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """E of the own node (XYL) and of the prefix (GZP), and z (XY1)."""
    q_XYe = part.view_queries(q_Ie)
    own_XYL = torch.baddbmm(part.mask, q_XYe, part.view_keys(k_Je).mT)
    path_GZP = _view_by_group(part, q_XYe) @ part.view_prefix(k_Je).mT
    return own_XYL, path_GZP, _exponentiate(own_XYL, path_GZP)


def _view_by_group(part: GroupSlices, x_XYk: Tensor) -> Tensor:
    """The rows of all nodes stacked for each key head: GZk, a view."""
    return x_XYk.view(part.groups, -1, x_XYk.shape[-1])


def _exponentiate(own_XYL: Tensor, path_GZP: Tensor) -> Tensor:
    """Turn scores into E, in place; return the row sums z, XY1, in float32 or better."""
    exact = torch.promote_types(own_XYL.dtype, torch.float32)
    largest_XY1 = own_XYL.amax(-1, keepdim=True)
    torch.maximum(
        largest_XY1, path_GZP.amax(-1, keepdim=True).view_as(largest_XY1), out=largest_XY1
    )
    sum_XY1 = own_XYL.sub_(largest_XY1).exp_().sum(-1, keepdim=True, dtype=exact)
    path_GZP.sub_(largest_XY1.view(len(path_GZP), -1, 1)).exp_()
    return sum_XY1.add_(path_GZP.sum(-1, keepdim=True, dtype=exact).view_as(sum_XY1))
