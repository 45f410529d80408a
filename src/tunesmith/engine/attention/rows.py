"""A bundle's tokens as rows of batched products, and back into their places in the forest.

Shapes: N tokens, H query heads, G key heads, M = H / G query heads to a key head, e size of a head, h either H or G;
B nodes, L tokens of the longest, P on the way from the root, S = P + L; X = G * B, Y = M * L; R, O, T: `bundles.py`.
"""

from functools import lru_cache

import torch
from torch import Tensor

from tunesmith.engine.attention.bundles import Bundle


def take(x_Nhe: Tensor, bundle: Bundle, groups: int, *, blank_padding: bool = False) -> Tensor:
    """A bundle's rows with the heads of a group under each other: XYe; M is 1 for keys and values."""
    if bundle.rows is None:
        rows_Rhe = x_Nhe[bundle.span]
    else:
        rows_Rhe = x_Nhe.index_select(0, bundle.rows.places_R)
        if blank_padding:
            rows_Rhe.index_fill_(0, bundle.rows.padding_Q, 0)
    rows_BLGMe = rows_Rhe.unflatten(1, (groups, -1)).unflatten(0, (bundle.nodes, bundle.length))
    return rows_BLGMe.permute(2, 0, 3, 1, 4).reshape(groups * bundle.nodes, -1, x_Nhe.shape[-1])


def take_seen(x_NGe: Tensor, bundle: Bundle) -> Tensor:
    """Keys or values of the way from the root and of the own node behind each other, for every node: XSe."""
    assert bundle.seen_T is not None
    seen_BSGe = x_NGe.index_select(0, bundle.seen_T).unflatten(0, (bundle.nodes, -1))
    return seen_BSGe.permute(2, 0, 1, 3).flatten(end_dim=1)


def put(x_XYe: Tensor, bundle: Bundle, out_Nhe: Tensor, *, add: bool = False) -> None:
    """The way back from `take`: a bundle's rows into their places, or added to what is there."""
    x_GBMLe = x_XYe.unflatten(1, (-1, bundle.length)).unflatten(0, (-1, bundle.nodes))
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


def take_path(x_NGe: Tensor, bundle: Bundle) -> Tensor:
    """Keys or values on the way from the root, the same for every node: GPe."""
    return x_NGe.index_select(0, bundle.path_P).transpose(0, 1)


def add_to_path(x_GPe: Tensor, bundle: Bundle, out_NGe: Tensor) -> None:
    """The way back from `take_path`."""
    if len(bundle.path_P):
        out_NGe.index_add_(0, bundle.path_P, x_GPe.transpose(0, 1))


def causal_YL(rows: int, length: int, like: Tensor) -> Tensor:
    """0 where a query of its node's `length` tokens may see a key of it, minus infinity where the key comes later."""
    return _triangle(length, rows // length, like.dtype, like.device)


@lru_cache(maxsize=256)  # up to 256 lengths (bundles.LONGEST_NODE), 3 MB in all with 64 heads
def _triangle(length: int, heads: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    later_LL = torch.full((length, length), float("-inf"), dtype=dtype, device=device).triu_(1)
    return later_LL.repeat(heads, 1)
