"""Activations that are cheap to make again are not kept for the backward pass.

What enters a linear layer is needed for the gradient of its adapter. Where it came out of a normalisation or a gate,
what it was made from is kept anyway (the residual stream, the gate's two halves), so a tensor of that kind carries a
note of how it was made, and whoever would keep it keeps the note. Nothing but passes over memory is computed twice, in
the same order, so the bits are the same.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

INFO_ATTRIBUTE = "tunesmith_again"


class Recomputation:
    """Makes one tensor again, once for all of the `wanted` that ask: the last one takes it away."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.pending = 0
        self._cached: Tensor | None = None

    def make(self, sources: Sequence[Tensor]) -> Tensor:
        """The tensor, from what it was made from."""
        self.pending -= 1
        made = self.function(*sources) if self._cached is None else self._cached
        self._cached = made if self.pending > 0 else None
        return made


class RecomputeInfo:
    """How a tensor was made. `sources` go through `save_for_backward`; a maker holds nothing of the forward pass.

    It is true while neither the tensor nor a source is changed in place.
    """

    def __init__(self, maker: Recomputation, made: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.recomputation, self.sources = maker, sources
        self.versions = self._list_versions(made)

    def is_valid_for(self, made: Tensor) -> bool:
        """Whether everything is as it was."""
        return self.versions == self._list_versions(made)

    def _list_versions(self, made: Tensor) -> list[int]:
        return [tensor._version for tensor in (made, *self.sources)]


def mark_recomputable(made: Tensor, function: Callable[..., Tensor], *sources: Tensor) -> Tensor:
    """Note on a tensor that `function(*sources)` gives it again."""
    if torch.is_grad_enabled():
        setattr(made, INFO_ATTRIBUTE, RecomputeInfo(Recomputation(function), made, sources))
    return made


def get_recompute_info(x: Tensor) -> RecomputeInfo | None:
    """The tensor's note, if it has one that is still true."""
    note: RecomputeInfo | None = getattr(x, INFO_ATTRIBUTE, None)
    return note if note is not None and note.is_valid_for(x) else None
