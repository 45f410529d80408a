"""Activations that are cheap to recompute are not saved for the backward pass.

The input of a linear layer is needed for the gradient of its adapter. If it came out of a
normalization or a gate, the inputs of that operation are saved anyway (the residual stream, the two
halves of the gate). So such a tensor carries information on how to recompute it, and a consumer
saves this information instead of the tensor. Only elementwise work is done twice, in the same
order, so the bits are the same (docs/decisions/062).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

INFO_ATTRIBUTE = "tunesmith_again"


class Recomputation:
    """Recomputes one tensor, once for all `pending` consumers; the last one frees it."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.pending = 0
        self._cached: Tensor | None = None

    def make(self, sources: Sequence[Tensor]) -> Tensor:
        """The tensor, recomputed from its sources or cached by an earlier consumer."""
        self.pending -= 1
        made = self.function(*sources) if self._cached is None else self._cached
        self._cached = made if self.pending > 0 else None
        return made


class RecomputeInfo:
    """How a tensor was computed; the `sources` go through `save_for_backward`.

    Valid as long as neither the tensor nor a source is modified in place.
    """

    def __init__(self, maker: Recomputation, made: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.recomputation, self.sources = maker, sources
        self.versions = self._list_versions(made)

    def is_valid_for(self, made: Tensor) -> bool:
        """Whether neither the tensor nor a source has been modified since."""
        return self.versions == self._list_versions(made)

    def _list_versions(self, made: Tensor) -> list[int]:
        # The version counter that autograd itself uses to detect in-place changes.
        return [tensor._version for tensor in (made, *self.sources)]


def mark_recomputable(made: Tensor, function: Callable[..., Tensor], *sources: Tensor) -> Tensor:
    """Record on a tensor that `function(*sources)` recomputes it; returns the tensor."""
    if torch.is_grad_enabled():
        setattr(made, INFO_ATTRIBUTE, RecomputeInfo(Recomputation(function), made, sources))
    return made


def get_recompute_info(x: Tensor) -> RecomputeInfo | None:
    """The tensor's recompute information, if it has some that is still valid."""
    note: RecomputeInfo | None = getattr(x, INFO_ATTRIBUTE, None)
    return note if note is not None and note.is_valid_for(x) else None
