"""Activations that are cheap to make again are not kept for the backward pass.

What enters a linear layer is needed for the gradient of its adapter. Where it came out of a normalisation or a gate,
what it was made from is kept anyway (the residual stream, the gate's two halves), so a tensor of that kind carries a
note of how it was made, and whoever would keep it keeps the note. Nothing but passes over memory is computed twice, in
the same order, so the bits are the same.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ATTRIBUTE = "tunesmith_again"


class Maker:
    """Makes one tensor again, once for all of the `wanted` that ask: the last one takes it away."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.wanted = 0
        self._made: Tensor | None = None

    def make(self, sources: Sequence[Tensor]) -> Tensor:
        """The tensor, from what it was made from."""
        self.wanted -= 1
        made = self.function(*sources) if self._made is None else self._made
        self._made = made if self.wanted > 0 else None
        return made


class Note:
    """How a tensor was made. `sources` go through `save_for_backward`; a maker holds nothing of the forward pass.

    It is true while neither the tensor nor a source is changed in place.
    """

    def __init__(self, maker: Maker, made: Tensor, sources: tuple[Tensor, ...]) -> None:
        self.maker, self.sources = maker, sources
        self.versions = self._versions(made)

    def is_true_of(self, made: Tensor) -> bool:
        """Whether everything is as it was."""
        return self.versions == self._versions(made)

    def _versions(self, made: Tensor) -> list[int]:
        return [tensor._version for tensor in (made, *self.sources)]


def noted(made: Tensor, function: Callable[..., Tensor], *sources: Tensor) -> Tensor:
    """Note on a tensor that `function(*sources)` gives it again."""
    if torch.is_grad_enabled():
        setattr(made, ATTRIBUTE, Note(Maker(function), made, sources))
    return made


def note_of(x: Tensor) -> Note | None:
    """The tensor's note, if it has one that is still true."""
    note: Note | None = getattr(x, ATTRIBUTE, None)
    return note if note is not None and note.is_true_of(x) else None
